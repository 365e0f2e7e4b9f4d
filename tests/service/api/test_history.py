"""Where the time of a job went."""

from __future__ import annotations

from tests.service.api.conftest import Service


def test_a_job_tells_its_states_and_how_long_it_was_in_each(stored_service: Service) -> None:
    job = stored_service.job(epochs=2000)
    stored_service.work_a_little()
    stored_service.work()
    document = stored_service.api.get(f"/v1/jobs/{job}").json
    told = stored_service.api.get(document["links"]["history"]).json
    assert (told["claims"], told["lost"], told["next_cursor"]) == (document["slices"], 0, None)
    assert [stay["state"] for stay in told["data"]] == ["queued", "running", "queued", "running", "succeeded"]
    assert (told["data"][0]["at"], told["data"][-1]["at"]) == (document["created_at"], document["finished_at"])
    assert [stay["until"] for stay in told["data"]] == [*(stay["at"] for stay in told["data"][1:]), None]
    assert set(told["seconds"]) == {"queued", "running"}
    assert told["data"][-1]["seconds"] is None
    first = stored_service.api.get(f"/v1/jobs/{job}/history?limit=2").json
    second = stored_service.api.get(f"/v1/jobs/{job}/history?limit=3&cursor={first['next_cursor']}").json
    assert first["data"] + second["data"] == told["data"]
    assert second["next_cursor"] is None
