"""Deleting a job leaves nothing of it, and takes nothing that another needs."""

from __future__ import annotations

from functools import partial

import pytest

from service.store import blobs, checkpoints, claims, datasets, deletion, jobs, quotas, trash
from service.store.datasets import NewDataset
from service.store.errors import IllegalAction, JobInUse, NotFound
from service.store.metrics import Metric
from service.store.states import TERMINAL, Action, State
from tests.service.store.test_concurrency import at_once


def parent(job_id):
    return {"job": job_id, "step": 0, "epoch": 0, "continues": "parameters", "further_epochs": 1, "from_checkpoint": 0}


def test_nothing_of_it_is_left(scene):
    scene.dataset()
    before, blob_ids = scene.contents(), scene.blob_ids()
    job_id = scene.job(spec={"seed": 1})
    claim = scene.claim()
    checkpoints.save(scene.store, claim, 50, 5, b"state")
    claims.record(scene.store, claim, scene.progress(50), [Metric(50, 5, {"loss": 1.0})])
    scene.finish_with_snapshot(claim)
    with scene.store.read() as session:
        assert quotas.stored_bytes(session, "default") == 48 + len(b"state") + len(b"weights")
    assert deletion.delete(scene.store, "default", job_id) == len(b"state") + len(b"weights")
    after = scene.contents()
    assert {name: rows for name, rows in after.items() if name != "tenant"} == {n: rows for n, rows in before.items() if n != "tenant"}
    assert scene.blob_ids() == blob_ids
    with pytest.raises(NotFound):
        deletion.delete(scene.store, "default", job_id)


@pytest.mark.parametrize("state", State)
def test_only_what_has_ended_is_deleted(scene, state):
    job_id, _ = scene.job_in(state)
    if state in TERMINAL:
        assert deletion.delete(scene.store, "default", job_id) == 0
    else:
        before = scene.contents()
        with pytest.raises(IllegalAction, match="cannot be deleted"):
            deletion.delete(scene.store, "default", job_id)
        assert scene.contents() == before


def test_another_tenants_job_is_not_there(scene):
    job_id, _ = scene.job_in(State.CANCELLED)
    scene.tenant("other")
    with pytest.raises(NotFound):
        deletion.delete(scene.store, "other", job_id)


def test_a_parent_stays_while_a_job_names_it(scene):
    job_id, _ = scene.job_in(State.CANCELLED)
    child = scene.job(parent=parent(job_id))
    with pytest.raises(JobInUse, match=child):
        deletion.delete(scene.store, "default", job_id)
    jobs.request(scene.store, "default", child, Action.CANCEL)
    deletion.delete(scene.store, "default", child)
    deletion.delete(scene.store, "default", job_id)
    with pytest.raises(NotFound, match=job_id):
        scene.job(parent=parent(job_id))


def test_a_child_and_a_deletion_at_once_never_leave_a_child_without_its_parent(scene, another_store):
    for _ in range(6):
        job_id, _ = scene.job_in(State.CANCELLED)
        found = at_once(
            partial(jobs.create, another_store(), scene.new_job(parent=parent(job_id)), answer=lambda _: b"{}"),
            partial(deletion.delete, another_store(), "default", job_id),
        )
        assert sum(isinstance(one, Exception) for one in found) == 1, found


def test_a_purged_dataset_is_forgotten_with_the_last_job_that_refers_to_it(scene):
    new = NewDataset("default", "t", "sha256:2", 1, 5, [], {}, blobs.write(scene.store, [b"table"]))
    dataset_id = datasets.create(scene.store, new, answer=lambda _: b"").id
    first, second = (scene.job(dataset_id=dataset_id) for _ in range(2))
    for job_id in (first, second):
        jobs.request(scene.store, "default", job_id, Action.CANCEL)
    trash.purge(scene.store, "default", dataset_id)
    deletion.delete(scene.store, "default", first)
    assert dataset_id in str(scene.contents()["dataset"])
    deletion.delete(scene.store, "default", second)
    assert dataset_id not in str(scene.contents()["dataset"])
