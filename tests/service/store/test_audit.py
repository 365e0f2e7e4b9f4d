"""The audit log: a row for every change, in the same transaction; none without somebody who asked."""

from __future__ import annotations

import pytest

from service.store import audit, jobs
from service.store.audit import Actor, Filter
from service.store.errors import IllegalAction
from service.store.states import Action


@pytest.fixture(autouse=True)
def nobody_acts_afterwards():
    yield
    audit.acts(None)


def entries(scene, **wanted):
    """Oldest first; of one millisecond the order is any."""
    return sorted(audit.page(scene.store, Filter(**wanted), limit=100), key=lambda entry: entry.at)


def test_what_a_key_does_is_written_down(scene):
    audit.acts(Actor("key_1", "req_1"))
    scene.dataset()
    scene.clock.step(1)
    job_id = scene.job(name="mine")
    scene.clock.step(1)
    audit.acts(Actor("key_2", None))
    scene.request(job_id, Action.CANCEL)
    told = [(entry.action, entry.target, entry.tenant_id, entry.key_id, entry.request_id) for entry in entries(scene)]
    assert told == [
        ("dataset.create", scene.dataset(), "default", "key_1", "req_1"),
        ("job.create", job_id, "default", "key_1", "req_1"),
        ("job.cancel", job_id, "default", "key_2", None),
    ]
    assert entries(scene, target=job_id)[0].data == {"name": "mine", "kind": "train", "dataset": scene.dataset()}
    assert entries(scene, target=job_id)[1].data == {"state": "cancelled"}


def test_what_nobody_asked_for_is_not(scene):
    scene.request(scene.job(), Action.CANCEL)
    assert entries(scene) == []


def test_what_was_undone_was_not_done(scene):
    audit.acts(Actor("key_1", "req_1"))
    scene.dataset()

    def fails(detail):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        jobs.create(scene.store, scene.new_job(), answer=fails)
    assert [entry.action for entry in entries(scene)] == ["dataset.create"]


def test_a_request_that_changes_nothing_leaves_no_entry(scene):
    job_id = scene.job()
    audit.acts(Actor("key_1", "req_1"))
    scene.request(job_id, Action.CANCEL)
    scene.request(job_id, Action.CANCEL)
    with pytest.raises(IllegalAction):
        scene.request(job_id, Action.RESUME)
    assert [entry.action for entry in entries(scene)] == ["job.cancel"]


def test_entries_are_found_by_what_is_known_of_them(scene):
    scene.tenant("other")
    for key, tenant, second in (("key_1", "default", 0), ("key_2", "other", 10), ("key_1", "other", 20)):
        scene.clock.step(10)
        audit.record_read(scene.store, Actor(key, None), "weights.read", f"job_{second}", tenant, bytes=second)
    now = scene.clock.seconds
    assert [entry.data["bytes"] for entry in entries(scene)] == [0, 10, 20]
    assert [entry.data["bytes"] for entry in entries(scene, tenant_id="other")] == [10, 20]
    assert [entry.data["bytes"] for entry in entries(scene, key_id="key_1")] == [0, 20]
    assert [entry.data["bytes"] for entry in entries(scene, key_id="key_1", tenant_id="other")] == [20]
    assert [entry.data["bytes"] for entry in entries(scene, target="job_10")] == [10]
    assert entries(scene, action="job.create") == []
    assert [entry.data["bytes"] for entry in entries(scene, since=now - 10, until=now)] == [10]


def test_pages_go_back_in_time_without_gaps(scene):
    for number in range(5):
        audit.record_read(scene.store, Actor("key_1", None), "weights.read", f"job_{number}", "default")
    everything = [entry.id for entry in audit.page(scene.store, Filter(), limit=100)]
    assert everything == sorted(everything, reverse=True)
    paged, before = [], None
    while page := audit.page(scene.store, Filter(), limit=2, before=before):
        paged += [entry.id for entry in page]
        before = paged[-1]
    assert paged == everything


def test_old_entries_are_forgotten(scene):
    audit.record_read(scene.store, Actor("key_1", None), "weights.read", "job_old", "default")
    scene.clock.step(100)
    audit.record_read(scene.store, Actor("key_1", None), "weights.read", "job_new", "default")
    audit.remove_old(scene.store, 100)
    assert [entry.target for entry in entries(scene)] == ["job_old", "job_new"]
    scene.clock.step(1)
    audit.remove_old(scene.store, 100)
    assert [entry.target for entry in entries(scene)] == ["job_new"]
