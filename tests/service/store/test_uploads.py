"""Uploads in parts: what is counted has arrived, a part that does not fit writes nothing, and what is given up is removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.store import blobs, datasets, quotas, tenants, uploads
from service.store.datasets import NewDataset
from service.store.errors import NotFound, QuotaExceeded, WrongOffset
from service.store.models import BlobChunk
from service.store.quotas import Quota


def begin(scene, size=10, tenant_id="default", sha256=None):
    return uploads.create(scene.store, tenant_id, size, sha256, answer=lambda _: b"").id


def content(scene, upload_id, tenant_id="default"):
    return b"".join(uploads.read(scene.store, uploads.get(scene.store, tenant_id, upload_id)))


def stored_bytes(scene):
    return quotas.use(scene.store, "default")[Quota.STORED_BYTES].used


def test_parts_of_any_size_become_one_file(scene):
    upload = begin(scene)
    assert uploads.append(scene.store, "default", upload, 0, b"abc") == 3
    assert uploads.append(scene.store, "default", upload, 3, b"") == 3
    assert uploads.append(scene.store, "default", upload, 3, b"d") == 4
    assert uploads.append(scene.store, "default", upload, 4, b"efghij") == 10
    assert content(scene, upload) == b"abcdefghij"


@pytest.mark.parametrize(("offset", "data"), [(0, b"abc"), (2, b"c"), (4, b"e"), (3, b"d" * 8)])
def test_a_part_that_does_not_fit_writes_nothing_and_says_where_to_go_on(scene, offset, data):
    upload = begin(scene)
    uploads.append(scene.store, "default", upload, 0, b"abc")
    before = scene.contents()
    with pytest.raises(WrongOffset) as refused:
        uploads.append(scene.store, "default", upload, offset, data)
    assert refused.value.received_bytes == 3
    assert scene.contents() == before


def test_of_many_who_write_the_same_part_one_does(scene):
    upload = begin(scene, size=8)

    def write(letter):
        try:
            return uploads.append(scene.store, "default", upload, 0, letter * 4)
        except WrongOffset as error:
            return -error.received_bytes

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(write, [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]))
    assert sorted(answers) == [-4] * 7 + [4]
    assert content(scene, upload) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"][answers.index(4)] * 4


def test_another_tenants_upload_is_not_there(scene):
    upload = begin(scene)
    other = scene.tenant("other")
    for call in (
        lambda: uploads.get(scene.store, other, upload),
        lambda: uploads.append(scene.store, other, upload, 0, b"abc"),
        lambda: uploads.delete(scene.store, other, upload),
    ):
        with pytest.raises(NotFound):
            call()
    assert uploads.page(scene.store, other, limit=10) == []
    assert uploads.with_content(scene.store, other, 10, "0" * 64) is None


def test_the_fullest_upload_of_a_file_is_found_again_until_a_dataset_is_made_of_it(scene):
    begin(scene, sha256="a" * 64)
    fuller = begin(scene, sha256="a" * 64)
    begin(scene, sha256="b" * 64)
    uploads.append(scene.store, "default", fuller, 0, b"abc")
    found = uploads.with_content(scene.store, "default", 10, "a" * 64)
    assert found.id == fuller
    assert uploads.with_content(scene.store, "default", 11, "a" * 64) is None
    uploads.became(scene.store, found, "ds_1")
    assert uploads.with_content(scene.store, "default", 10, "a" * 64).id != fuller


def test_it_counts_as_stored_from_its_beginning_until_it_is_a_dataset(scene):
    upload = begin(scene, size=100)
    assert stored_bytes(scene) == 100
    tenants.change(scene.store, "default", limits={Quota.STORED_BYTES: 120})
    with pytest.raises(QuotaExceeded):
        begin(scene, size=21)
    new = NewDataset("default", "table", "digest", rows=1, bytes=110, columns=[], header={}, blob_id="blob_none")
    with pytest.raises(QuotaExceeded):
        datasets.create(scene.store, new, answer=lambda _: b"")
    assert uploads.get(scene.store, "default", upload).dataset_id is None
    made = datasets.create(scene.store, new, answer=lambda _: b"", upload_id=upload)
    assert uploads.get(scene.store, "default", upload).dataset_id == made.id
    assert stored_bytes(scene) == 110


def test_a_dataset_that_has_no_room_leaves_the_upload_as_it_was(scene):
    upload = begin(scene, size=100)
    tenants.change(scene.store, "default", limits={Quota.STORED_BYTES: 120})
    before = scene.contents()
    new = NewDataset("default", "table", "digest", rows=1, bytes=121, columns=[], header={}, blob_id="blob_none")
    with pytest.raises(QuotaExceeded):
        datasets.create(scene.store, new, answer=lambda _: b"", upload_id=upload)
    assert scene.contents() == before


def test_what_has_become_a_dataset_takes_no_more(scene):
    upload = begin(scene)
    uploads.append(scene.store, "default", upload, 0, b"0123456789")
    uploads.became(scene.store, uploads.get(scene.store, "default", upload), "ds_1")
    with pytest.raises(WrongOffset):
        uploads.append(scene.store, "default", upload, 10, b"")
    assert chunks(scene) == 0


def test_one_to_which_nothing_comes_is_removed_with_its_bytes(scene):
    upload, other = begin(scene), begin(scene)
    for each in (upload, other):
        uploads.append(scene.store, "default", each, 0, b"abc")
    scene.clock.step(7200)
    assert blobs.remove_orphans(scene.store) == 0  # they are not given up yet
    uploads.append(scene.store, "default", other, 3, b"d")
    assert uploads.remove_expired(scene.store, 3600) == 1
    with pytest.raises(NotFound):
        uploads.get(scene.store, "default", upload)
    assert content(scene, other) == b"abcd"
    assert chunks(scene) == 2
    uploads.delete(scene.store, "default", other)
    assert chunks(scene) == 0


def chunks(scene):
    with scene.store.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(BlobChunk))
