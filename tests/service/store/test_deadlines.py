"""Jobs whose deadline is over fail once, wherever they stand, and none is taken from the worker that has it."""

from __future__ import annotations

import pytest

from service.store import claims, deadlines, job_changes
from service.store.states import OVERDUE, OWNED, TERMINAL, State
from tests.service.store.conftest import LEASE_SECONDS, START, Scene


@pytest.mark.parametrize("state", list(State))
def test_a_job_fails_at_its_deadline_unless_a_worker_has_it_or_it_has_ended(scene: Scene, state: State) -> None:
    job_id, _ = scene.job_in(state)
    assert job_changes.change(scene.store, "default", job_id, 0, {"deadline_at": START + 10})
    before = scene.row(job_id)
    assert deadlines.expire(scene.store) == []
    scene.clock.step(10)
    expected = [job_id] if state in OVERDUE else []
    assert deadlines.expire(scene.store) == expected
    assert deadlines.expire(scene.store) == []
    row = scene.row(job_id)
    if not expected:
        assert (row.state, row.event_seq, row.finished_at) == (before.state, before.event_seq, before.finished_at)
        assert state in OWNED | TERMINAL
        return
    assert (row.state, row.reason_code, row.finished_at) == ("failed", "deadline", START + 10)
    last = scene.events(job_id)[-1]
    assert (last.seq, last.data["state"], last.data["reason"]["code"]) == (before.event_seq + 1, "failed", "deadline")


def test_an_owner_sees_that_the_deadline_is_over_and_nobody_claims_such_a_job(scene: Scene) -> None:
    scene.job(deadline_at=START + 10)
    claim = scene.claim()
    assert not claims.look(scene.store, claim, 2.0).overdue
    scene.clock.step(10)
    assert claims.look(scene.store, claim, 2.0).overdue
    claims.release(scene.store, claim, claims.Progress(1, 0, {}, 1.0))
    assert claims.claim(scene.store, "worker_1", "cpu", LEASE_SECONDS) is None


def test_a_deadline_that_is_moved_in_time_is_kept_to(scene: Scene) -> None:
    job_id = scene.job(deadline_at=START + 10)
    assert job_changes.change(scene.store, "default", job_id, 0, {"deadline_at": START + 20})
    scene.clock.step(15)
    assert deadlines.expire(scene.store) == []
    assert job_changes.change(scene.store, "default", job_id, 1, {"deadline_at": None})
    scene.clock.step(1000)
    assert deadlines.expire(scene.store) == []
