"""The history: every state a job was in, with the seconds that passed."""

from __future__ import annotations

from service.store import claims, history, reaping
from service.store.states import Action, State
from tests.service.store.conftest import LEASE_SECONDS


def test_every_stay_is_told_with_its_seconds(scene, clock):
    job_id = scene.job()
    clock.step(3)
    claim = scene.claim()
    clock.step(20)
    claims.note(scene.store, claim, "kernels_compiled", {"seconds": 1.0})
    claims.release(scene.store, claim, scene.progress(1))
    clock.step(2)
    scene.claim()
    clock.step(5)
    scene.request(job_id, Action.PAUSE)
    clock.step(LEASE_SECONDS + 1)
    reaping.reap(scene.store, max_losses=5)
    clock.step(100)

    found = history.of(scene.store, job_id)
    assert [(stay.state, stay.seconds) for stay in found.stays] == [
        (State.QUEUED, 3),
        (State.RUNNING, 20),
        (State.QUEUED, 2),
        (State.RUNNING, 5),
        (State.PAUSING, LEASE_SECONDS + 1),
        (State.PAUSED, 100),
    ]
    assert found.stays[-1].until is None
    assert found.seconds == {State.QUEUED: 5, State.RUNNING: 25, State.PAUSING: LEASE_SECONDS + 1, State.PAUSED: 100}
    assert found.lost == 1
    assert history.of(scene.store, job_id, after=1, limit=2).stays == found.stays[1:3]
    assert history.of(scene.store, job_id, after=1, limit=2).seconds == found.seconds


def test_an_end_lasts_no_time_and_no_stay_less_than_none(scene, clock):
    job_id = scene.job()
    clock.step(-50)
    scene.request(job_id, Action.CANCEL)
    clock.step(1000)
    found = history.of(scene.store, job_id)
    assert [(stay.state, stay.seconds) for stay in found.stays] == [(State.QUEUED, 0), (State.CANCELLED, None)]
    assert found.seconds == {State.QUEUED: 0}
