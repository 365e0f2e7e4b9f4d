"""A receiver takes what the service signed, and nothing else."""

from __future__ import annotations

import base64
import time

import pytest

import sankofa
from sankofa import verification
from sankofa.errors import InvalidInput, InvalidWebhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "Webhook-Timestamp": "1614265330", "Webhook-Signature": SIGNATURE}


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the vector that the specification's libraries are tested with."""
    monkeypatch.setattr(verification.time, "time", lambda: 1614265330.0)


def verify(body: bytes | str = BODY, secret: str | list[str] = SECRET, **headers: str) -> dict[str, object]:
    return sankofa.verify_webhook(body, {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}, secret)


def test_the_known_vector_is_taken() -> None:
    assert verify() == {"test": 2432232314}
    assert verify(BODY.decode()) == {"test": 2432232314}
    assert verify(secret=SECRET.removeprefix("whsec_")) == {"test": 2432232314}


def test_one_signature_of_several_is_enough_and_so_is_one_secret() -> None:
    wrong = base64.b64encode(b"x" * 32).decode()
    assert verify(Webhook_Signature=f"v1a,{wrong} v1,{wrong} {SIGNATURE}")
    assert verify(secret=[f"whsec_{wrong}", SECRET])


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Webhook_Signature": ""}, "lacks webhook-signature"),
        ({"Webhook_Id": "", "Webhook_Timestamp": ""}, "lacks webhook-id, webhook-timestamp"),
        ({"Webhook_Timestamp": "soon"}, "expected seconds since 1970, got 'soon'"),
        ({"Webhook_Timestamp": "١٢"}, "expected seconds since 1970"),
        ({"Webhook_Timestamp": "1614265029"}, "301 s old, 300 s are allowed"),
        ({"Webhook_Timestamp": "1614265631"}, "301 s from the future"),
        ({"Webhook_Timestamp": "1614265331"}, "no signature fits"),
        ({"Webhook_Id": "msg_2"}, "no signature fits"),
        ({"Webhook_Signature": SIGNATURE.replace("g0", "g1")}, "no signature fits"),
        ({"Webhook_Signature": SIGNATURE.replace("v1,", "v2,")}, "no signature fits"),
        ({"Webhook_Signature": "v1,ä v1, v1"}, "no signature fits"),
    ],
)
def test_what_was_changed_is_refused(headers: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidWebhook, match=told):
        verify(**headers)


def test_another_body_or_secret_is_refused() -> None:
    for body, secret in ((BODY + b" ", SECRET), (BODY, "whsec_AAAA")):
        with pytest.raises(InvalidWebhook, match="no signature fits"):
            verify(body, secret)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???", "secret with spaces"])
def test_a_secret_that_is_none_is_told(secret: str) -> None:
    with pytest.raises(InvalidInput, match="the secret of a webhook is whsec_ and base64"):
        verify(secret=secret)


def test_the_time_allowed_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1614265330.0 + 3000)
    with pytest.raises(InvalidWebhook):
        verify()
    assert sankofa.verify_webhook(BODY, HEADERS, SECRET, tolerance_seconds=3600)
