"""Is this webhook really from our service? For the receiver, which needs nothing else of this package.

https://www.standardwebhooks.com: `webhook-signature` holds `v1,` and the HMAC-SHA256 of id.timestamp.body in base64, several of them
while a secret is rotated.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sankofa.errors import InvalidInput, InvalidWebhook

PREFIX = "whsec_"


def verify_webhook(
    body: bytes | str, headers: Mapping[str, str], secret: str | Sequence[str], *, tolerance_seconds: float = 300.0
) -> dict[str, Any]:
    """What a webhook says, {"type", "timestamp", "data"}, once it is certain that whoever knows the secret has sent it, lately.

    body: as it was received, byte for byte: JSON that was parsed and written again has another signature. headers: of the request.
    secret: `whsec_...`, or several of which one has to fit. tolerance_seconds: how far its time may be from ours, so that nobody can send
    an old one again; keep the ids (`webhook-id`) of that long to be told everything once.
    Raises InvalidWebhook, saying what is wrong; answer that with 400. Raises InvalidInput for a secret that is none.
    """
    found = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not found.get(name)]
    if missing:
        raise InvalidWebhook(f"the request lacks {', '.join(missing)}: it is no webhook")
    text = found["webhook-timestamp"]
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise InvalidWebhook(f"webhook-timestamp: expected seconds since 1970, got {text[:40]!r}")
    late = time.time() - int(text)
    if abs(late) > tolerance_seconds:
        when = "old" if late > 0 else "from the future"
        raise InvalidWebhook(f"it is {abs(late):.0f} s {when}, {tolerance_seconds:g} s are allowed; is this machine's clock right?")
    content = body.encode() if isinstance(body, str) else bytes(body)
    signed = f"{found['webhook-id']}.{text}.".encode() + content
    given = [one.removeprefix("v1,") for one in found["webhook-signature"].split() if one.startswith("v1,")]
    for key in [secret] if isinstance(secret, str) else secret:
        expected = base64.b64encode(hmac.digest(_key(key), signed, hashlib.sha256))
        if any(hmac.compare_digest(expected, one.encode()) for one in given):
            return _parsed(content)
    raise InvalidWebhook("no signature fits: another secret signed it, or the body is not as it was sent")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise InvalidInput(f"the secret of a webhook is {PREFIX} and base64, as it was shown when the webhook was made")
    return key


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise InvalidWebhook(f"its body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidWebhook("its body is no JSON object")
    return document
