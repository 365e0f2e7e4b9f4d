"""Tenants: made once, changed by name, and every change is in the log."""

from __future__ import annotations

import pytest

from service.store import audit, quotas, tenants
from service.store.audit import Actor, Filter
from service.store.errors import AlreadyThere, NotFound
from service.store.idempotency import Once
from service.store.quotas import Quota


@pytest.fixture(autouse=True)
def operator():
    audit.acts(Actor("key_operator", "req_1"))
    yield
    audit.acts(None)


def create(scene, tenant_id="acme", once=None, **limits):
    named = {Quota(name): value for name, value in limits.items()}
    return tenants.create(
        scene.store, tenant_id, "Acme Inc.", named, owner="default", answer=lambda tenant: str(tenant.max_queued_jobs).encode(), once=once
    )


def changes(scene):
    found = audit.page(scene.store, Filter(action="tenant.update"), limit=10)
    return [entry.data["changed"] for entry in sorted(found, key=lambda entry: entry.at)]


def test_a_tenant_has_the_limits_it_was_made_with(scene):
    assert create(scene, queued_jobs=5, stored_bytes=0).answer == b"5"
    tenant = tenants.get(scene.store, "acme")
    assert tenant.name == "Acme Inc."
    assert {quota: limit for quota, limit in quotas.limits_of(tenant).items() if limit is not None} == {"queued_jobs": 5, "stored_bytes": 0}


def test_there_is_one_of_an_id(scene):
    create(scene, queued_jobs=5)
    with pytest.raises(AlreadyThere, match="'acme'"):
        create(scene, queued_jobs=6)
    assert tenants.get(scene.store, "acme").max_queued_jobs == 5


def test_a_repeated_request_makes_one(scene):
    once = Once("POST /v1/tenants", "k", "sha256:body")
    first, again = create(scene, once=once), create(scene, once=once)
    assert (first.answer, again.replayed) == (again.answer, True)


def test_what_is_not_named_stays(scene):
    create(scene, queued_jobs=5, running_jobs=2)
    changed = tenants.change(scene.store, "acme", limits={Quota.QUEUED_JOBS: None})
    scene.clock.step(1)
    assert (changed.name, changed.max_queued_jobs, changed.max_running_jobs) == ("Acme Inc.", None, 2)
    tenants.change(scene.store, "acme", name="Acme", limits={Quota.QUEUED_JOBS: None})
    assert changes(scene) == [{"queued_jobs": [5, None]}, {"name": ["Acme Inc.", "Acme"]}]


def test_a_change_that_changes_nothing_is_not_in_the_log(scene):
    create(scene, queued_jobs=5)
    tenants.change(scene.store, "acme", name="Acme Inc.", limits={Quota.QUEUED_JOBS: 5})
    assert changes(scene) == []


def test_one_that_is_not_there_cannot_be_changed(scene):
    with pytest.raises(NotFound):
        tenants.change(scene.store, "nobody", limits={})
    with pytest.raises(NotFound):
        tenants.get(scene.store, "nobody")


def test_are_listed_by_their_ids(scene):
    for tenant_id in ("b", "a", "c"):
        create(scene, tenant_id)
    ids = [tenant.id for tenant in tenants.page(scene.store, None, limit=2)]
    assert ids == ["a", "b"]
    assert [tenant.id for tenant in tenants.page(scene.store, None, limit=9, after="b")] == ["c", "default"]
    assert [tenant.id for tenant in tenants.page(scene.store, "b", limit=9)] == ["b"]
