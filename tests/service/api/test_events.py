"""Events: the list, and the stream that can be taken up where it broke."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from service.api import event_stream
from tests.service.api.conftest import KEY, Service

STREAM = {"Accept": "text/event-stream"}


def messages(text: str) -> list[dict[str, Any]]:
    """The messages of a stream: event, id where there is one, data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def stream(service: Service, job: str, **headers: str) -> list[dict[str, Any]]:
    """Everything a stream says until it ends."""
    sent = STREAM | {name.replace("_", "-"): value for name, value in headers.items()}
    response = service.api.get(f"/v1/jobs/{job}/events", headers=sent)
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    return messages(response.text)


def test_events_are_listed_without_gaps_and_in_pages(service: Service) -> None:
    job = service.job()
    for action in ("pause", "resume", "cancel"):
        service.api.post(f"/v1/jobs/{job}/{action}")
    listed = service.api.get(f"/v1/jobs/{job}/events").json
    assert [(event["seq"], event["data"]["state"]) for event in listed["data"]] == [
        (1, "queued"),
        (2, "paused"),
        (3, "queued"),
        (4, "cancelled"),
    ]
    first = service.api.get(f"/v1/jobs/{job}/events?limit=3").json
    second = service.api.get(f"/v1/jobs/{job}/events?limit=3&cursor={first['next_cursor']}").json
    assert first["data"] + second["data"] == listed["data"]
    assert (second["next_cursor"], service.api.get(f"/v1/jobs/{job}/events?after_seq=3").json["data"]) == (None, listed["data"][3:])


def test_a_stream_tells_the_whole_story_in_order_and_ends(stored_service: Service) -> None:
    job = stored_service.job(epochs=30)
    stored_service.work()
    told = stream(stored_service, job)
    assert [message["data"]["data"]["state"] for message in told if message["event"] == "state"] == ["queued", "running", "succeeded"]
    assert [message["data"]["step"] for message in told if message["event"] == "metrics"] == list(range(1, 31))
    last = max(place for place, message in enumerate(told) if message["event"] == "metrics")
    end = next(place for place, message in enumerate(told) if message["event"] == "state" and message["data"]["seq"] == 3)
    assert last < end, "the last report comes before the end"
    assert told[-1]["event"] == "progress"
    assert told[-1]["data"]["fraction"] == 1.0
    assert told[end]["id"] == "3.30"


def test_a_stream_goes_on_behind_every_id_without_gap_or_repetition(service: Service) -> None:
    job = service.job(epochs=12)
    service.work()
    whole = [message for message in stream(service, job) if "id" in message]
    assert len(whole) == 3 + 12
    for place, message in enumerate(whole[:-1]):
        rest = [each for each in stream(service, job, Last_Event_ID=message["id"]) if "id" in each]
        assert rest == whole[place + 1 :]


def test_a_stream_of_an_ended_job_that_was_seen_whole_is_not_opened_again(service: Service) -> None:
    job = service.job(epochs=3)
    service.work()
    last = [message for message in stream(service, job) if "id" in message][-1]["id"]
    assert service.api.get(f"/v1/jobs/{job}/events", headers=STREAM | {"Last-Event-ID": last}).status_code == 204


@pytest.mark.parametrize("identifier", ["nonsense", "1.2.3", "-1", "9" * 400, "1e3"])
def test_an_id_that_is_none_of_ours_starts_the_stream_anew(service: Service, identifier: str) -> None:
    job = service.job()
    service.api.post(f"/v1/jobs/{job}/cancel")
    assert [message["id"] for message in stream(service, job, Last_Event_ID=identifier) if "id" in message] == ["1", "2"]


def test_what_happens_is_told_as_it_happens(service: Service) -> None:
    job = service.job(epochs=5)
    timer = threading.Timer(0.3, service.work)
    timer.start()
    told = stream(service, job)
    timer.join()
    assert told[0]["data"]["data"]["state"] == "queued"
    assert [message["data"]["step"] for message in told if message["event"] == "metrics"] == [1, 2, 3, 4, 5]


def test_a_quiet_stream_says_that_it_lives(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.05)
    job = service.job()
    timer = threading.Timer(0.6, lambda: service.api.post(f"/v1/jobs/{job}/cancel"))
    timer.start()
    response = service.api.get(f"/v1/jobs/{job}/events", headers=STREAM)
    assert response.text.count(": heartbeat") >= 2
    timer.join()


def test_streams_end_when_the_server_stops_and_none_is_opened_then(service: Service) -> None:
    job = service.job()
    timer = threading.Timer(0.2, service.context.streams.close)
    timer.start()
    assert [message["id"] for message in stream(service, job) if "id" in message] == ["1"]
    timer.join()
    response = service.api.get(f"/v1/jobs/{job}/events", headers=STREAM)
    assert (response.status_code, response.json["code"]) == (503, "too_many_streams")


def test_a_stream_gives_its_place_back_when_its_client_is_gone(service: Service) -> None:
    job = service.job()
    headers = {"Authorization": f"Bearer {KEY}", **STREAM}
    for _ in range(service.context.streams.limit * 2):
        response = service.app.test_client().get(f"/v1/jobs/{job}/events", headers=headers, buffered=False)
        assert response.status_code == 200
        next(response.iter_encoded())
        response.close()


def test_streams_beyond_the_budget_are_sent_away(service: Service) -> None:
    job = service.job()
    for _ in range(service.context.streams.limit):
        service.context.streams.enter()
    response = service.api.get(f"/v1/jobs/{job}/events", headers=STREAM)
    assert (response.status_code, response.json["code"]) == (503, "too_many_streams")
    assert int(response.headers["Retry-After"]) > 0
    assert service.api("HEAD", f"/v1/jobs/{job}/events", headers=STREAM).status_code == 200


def test_what_cannot_be_accepted_is_said(service: Service) -> None:
    job = service.job()
    response = service.api.get(f"/v1/jobs/{job}/events", headers={"Accept": "image/png"})
    assert response.status_code == 406
    assert response.json["available"] == ["application/json", "text/event-stream"]
