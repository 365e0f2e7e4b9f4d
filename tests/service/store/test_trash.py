"""The trash: nothing that a job needs gets into it, what is in it is not used, and what leaves it gives its bytes back."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

from service.store import blobs, datasets, jobs, quotas, trash
from service.store.datasets import NewDataset
from service.store.errors import DatasetInUse, InTrash, NotFound, SameContent
from service.store.models import Dataset, Job
from service.store.states import Action
from tests.service.store.test_concurrency import at_once


def upload(scene, digest="sha256:2"):
    new = NewDataset("default", "t", digest, 1, 5, [], {}, blobs.write(scene.store, [b"table"]), {"format": "csv"})
    return datasets.create(scene.store, new, answer=lambda _: b"").id


def ids(scene, **which):
    return [dataset.id for dataset in datasets.page(scene.store, "default", limit=9, **which)]


def test_a_dataset_goes_into_the_trash_and_out_of_it(scene):
    dataset_id = upload(scene)
    assert trash.put(scene.store, "default", dataset_id).trashed_at == trash.put(scene.store, "default", dataset_id).trashed_at
    assert (ids(scene), ids(scene, in_trash=True)) == ([], [dataset_id])
    with pytest.raises(InTrash, match="restore"):
        datasets.get(scene.store, "default", dataset_id)
    assert datasets.get(scene.store, "default", dataset_id, in_trash=True).sniffed == {"format": "csv"}
    assert trash.restore(scene.store, "default", dataset_id).trashed_at is None
    assert (ids(scene), ids(scene, in_trash=True)) == ([dataset_id], [])


@pytest.mark.parametrize("ask", [trash.put, trash.purge])
def test_what_a_job_needs_stays(scene, ask):
    job_id = scene.job()
    with pytest.raises(DatasetInUse, match=job_id):
        ask(scene.store, "default", scene.dataset())
    jobs.request(scene.store, "default", job_id, Action.PAUSE)
    with pytest.raises(DatasetInUse):
        ask(scene.store, "default", scene.dataset())
    jobs.request(scene.store, "default", job_id, Action.CANCEL)
    assert ask(scene.store, "default", scene.dataset())


def test_no_job_is_made_of_what_is_in_the_trash(scene):
    trash.put(scene.store, "default", scene.dataset())
    with pytest.raises(InTrash):
        scene.job()


def test_a_job_and_a_purge_at_once_never_leave_a_job_without_its_data(scene, another_store):
    for number in range(6):
        dataset_id = upload(scene, f"sha256:{number + 10}")
        new = scene.new_job(dataset_id=dataset_id)
        found = at_once(
            partial(jobs.create, another_store(), new, answer=lambda _: b"{}"),
            partial(trash.purge, another_store(), "default", dataset_id),
        )
        assert sum(isinstance(one, Exception) for one in found) == 1, found


def test_a_purge_frees_the_bytes_and_leaves_a_word_where_a_job_refers_to_it(scene):
    alone, used = upload(scene), upload(scene, "sha256:3")
    job_id = scene.job(dataset_id=used)
    jobs.request(scene.store, "default", job_id, Action.CANCEL)
    before = len(scene.blob_ids())
    assert [trash.purge(scene.store, "default", dataset_id) for dataset_id in (alone, used)] == [5, 5]
    assert len(scene.blob_ids()) == before - 2
    with scene.store.read() as session:
        assert set(session.scalars(sa.select(Dataset.id))) == {used, scene.dataset()}
        assert session.scalar(sa.select(Job.dataset_id)) == used
        assert quotas.stored_bytes(session, "default") == 48  # of the scene's own
    for ask in (partial(datasets.get, in_trash=True), trash.put, trash.restore, trash.purge):
        with pytest.raises(NotFound):
            ask(scene.store, "default", used)
    assert ids(scene, in_trash=True) == []


def test_the_trash_is_emptied_when_its_time_is_over(scene):
    old = upload(scene)
    trash.put(scene.store, "default", old)
    scene.clock.step(100)
    young = upload(scene, "sha256:3")
    trash.put(scene.store, "default", young)
    kept = upload(scene, "sha256:4")
    assert trash.purge_old(scene.store, 99) == 5
    assert (ids(scene), ids(scene, in_trash=True)) == ([kept], [young])
    assert trash.purge_old(scene.store, 99) == 0


def test_another_tenants_dataset_is_not_there(scene):
    dataset_id = upload(scene)
    scene.tenant("other")
    for ask in (trash.put, trash.restore, trash.purge):
        with pytest.raises(NotFound):
            ask(scene.store, "other", dataset_id)


def test_equal_content_is_one_dataset_of_a_tenant_unless_it_is_in_the_trash(scene, another_store):
    def send(store):
        new = NewDataset("default", "t", "sha256:2", 1, 5, [], {}, "blob_none")
        return datasets.create(store, new, answer=lambda _: b"").id

    found = at_once(*(partial(send, another_store()) for _ in range(6)))
    assert sum(isinstance(one, SameContent) for one in found) == 5
    (made,) = ids(scene)
    assert {one.dataset.id for one in found if isinstance(one, SameContent)} == {made}
    assert datasets.with_content(scene.store, "default", "sha256:2").id == made
    trash.put(scene.store, "default", made)
    assert datasets.with_content(scene.store, "default", "sha256:2") is None
    assert upload(scene) != made
