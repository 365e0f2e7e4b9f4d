"""Quotas: each is held in the transaction that would exceed it, whoever comes at the same time; what waits for one is passed over."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from service.store import claims, datasets, jobs, quotas, reaping, tenants
from service.store.datasets import NewDataset
from service.store.errors import NotFound, QuotaExceeded
from service.store.ids import new_id
from service.store.jobs import Start
from service.store.quotas import DAY_SECONDS, Quota
from service.store.states import Action, Outcome, State
from tests.service.store.conftest import START
from tests.service.store.test_concurrency import at_once


def limit(scene, tenant_id="default", **limits):
    tenants.change(scene.store, tenant_id, limits={Quota(name): value for name, value in limits.items()})


def upload(scene, size, tenant_id="default", store=None):
    new = NewDataset(tenant_id, "table", new_id("sha256"), rows=1, bytes=size, columns=[], header={}, blob_id="blob_none")
    return datasets.create(store or scene.store, new, answer=lambda _: b"")


def refusal(call):
    with pytest.raises(QuotaExceeded) as refused:
        call()
    return refused.value


def next_claim(scene):
    return claims.claim(scene.store, "worker_1", "cpu", 30)


class TestQueuedJobs:
    def test_counts_those_that_are_queued_or_paused(self, scene):
        limit(scene, queued_jobs=3)
        scene.job()
        scene.claim()  # runs: is not counted
        scene.job()
        scene.request(scene.job(), Action.PAUSE)
        scene.job()
        refused = refusal(scene.job)
        assert (refused.quota, refused.limit, refused.used, refused.retry_after_seconds) == ("queued_jobs", 3, 3, quotas.QUEUE_SECONDS)
        assert "3 jobs of tenant default are queued or paused" in str(refused)
        scene.claim()
        scene.job()

    def test_of_none_refuses_every_job_and_nothing_is_left_of_it(self, scene):
        scene.dataset()
        limit(scene, queued_jobs=0)
        before = scene.contents()
        refusal(scene.job)
        assert scene.contents() == before

    def test_of_one_tenant_does_not_touch_another(self, scene):
        scene.tenant("other")
        limit(scene, queued_jobs=0)
        assert scene.row(scene.job("other")).state == "queued"

    def test_is_held_against_many_at_once(self, scene, another_store):
        scene.dataset()
        limit(scene, queued_jobs=3)
        stores = [another_store() for _ in range(8)]
        found = at_once(*(partial(jobs.create, store, scene.new_job(), answer=lambda _: b"") for store in stores))
        assert Counter(type(one).__name__ for one in found) == {"Created": 3, "QuotaExceeded": 5}


class TestRunningJobs:
    def test_beyond_it_stay_in_the_queue_and_say_why(self, scene):
        scene.tenant("other")
        limit(scene, running_jobs=1)
        first, second, others = scene.job(), scene.job(), scene.job("other")
        assert scene.claim().job_id == first
        assert jobs.get(scene.store, "default", second).held_by == "running_jobs"
        assert jobs.get(scene.store, "other", others).held_by is None
        assert scene.claim().job_id == others
        assert next_claim(scene) is None

    def test_goes_on_when_one_has_ended(self, scene):
        limit(scene, running_jobs=1)
        scene.job()
        second = scene.job()
        claim = scene.claim()
        claims.finish(scene.store, claim, claims.Ending(Outcome.SUCCEEDED), scene.progress(100))
        assert jobs.get(scene.store, "default", second).held_by is None
        assert scene.claim().job_id == second

    def test_counts_a_job_until_its_worker_has_left_it(self, scene):
        limit(scene, running_jobs=1)
        first = scene.job()
        scene.job()
        scene.claim()
        scene.request(first, Action.PAUSE)
        assert scene.row(first).state == State.PAUSING
        assert next_claim(scene) is None

    def test_a_held_job_is_ahead_of_nobody_who_may_run(self, scene):
        scene.tenant("other")
        limit(scene, running_jobs=1)
        scene.job()
        scene.claim()
        held = scene.job(priority=9)
        scene.clock.step(1)
        free = scene.job("other")
        assert jobs.get(scene.store, "other", free).jobs_ahead == 0
        assert jobs.get(scene.store, "default", held).jobs_ahead == 1

    def test_a_held_job_wakes_no_worker(self, scene):
        limit(scene, running_jobs=0)
        scene.job()
        assert reaping.queued_jobs(scene.store) == 0
        limit(scene, running_jobs=1)
        assert reaping.queued_jobs(scene.store) == 1

    def test_a_held_newcomer_makes_no_room(self, scene):
        scene.tenant("held")
        scene.job()
        claim = scene.claim()
        scene.job("held")
        scene.clock.step(3)
        assert claims.look(scene.store, claim, newcomer_seconds=2).newcomer_waits
        limit(scene, "held", running_jobs=0)
        assert not claims.look(scene.store, claim, newcomer_seconds=2).newcomer_waits

    def test_a_newcomer_takes_its_turn_with_the_only_job_that_its_tenant_may_run(self, scene):
        limit(scene, running_jobs=1)
        scene.job()
        claim = scene.claim()
        scene.job()
        scene.clock.step(3)
        assert claims.look(scene.store, claim, newcomer_seconds=2).newcomer_waits

    def test_is_held_against_many_at_once(self, scene, another_store):
        scene.tenant("other")
        limit(scene, running_jobs=2)
        for _ in range(8):
            scene.job()
            scene.job("other")
        stores = [another_store() for _ in range(8)]
        taken = at_once(*(partial(claims.claim, store, "worker", "cpu", 30) for store in stores))
        assert Counter(claim.tenant_id for claim in taken)["default"] <= 2
        assert len({claim.job_id for claim in taken}) == 8
        while next_claim(scene) is not None:
            pass
        with scene.store.read() as session:
            assert quotas.running_jobs(session, "default") == 2
            assert quotas.running_jobs(session, "other") == 8


class TestStoredBytes:
    def test_a_dataset_that_fits_exactly_is_taken_and_one_more_byte_is_not(self, scene):
        limit(scene, stored_bytes=100)
        upload(scene, 60)
        assert refusal(lambda: upload(scene, 41)).used == 60
        upload(scene, 40)
        refused = refusal(lambda: upload(scene, 1))
        assert (refused.quota, refused.limit, refused.used) == ("stored_bytes", 100, 100)
        assert "this would add 1" in str(refused)

    def test_counts_what_jobs_leave_behind(self, scene):
        from service.store import checkpoints

        scene.job()  # on a dataset of 48 bytes
        claim = scene.claim()
        checkpoints.save(scene.store, claim, 10, 1, b"state")
        scene.finish_with_snapshot(claim)  # of 7 bytes
        with scene.store.read() as session:
            assert quotas.stored_bytes(session, "default") == 48 + 5 + 7

    def test_that_are_used_up_refuse_a_job_but_never_the_work_of_one(self, scene):
        scene.job()
        claim = scene.claim()
        limit(scene, stored_bytes=48)
        assert "a job would leave more behind" in str(refusal(lambda: quotas.room_is_left(scene.store, "default")))
        scene.finish_with_snapshot(claim)
        assert scene.row(claim.job_id).state == "succeeded"

    def test_is_held_against_many_at_once(self, scene, another_store):
        limit(scene, stored_bytes=30)
        stores = [another_store() for _ in range(8)]
        found = at_once(*(partial(upload, scene, 10, store=store) for store in stores))
        assert Counter(type(one).__name__ for one in found) == {"Created": 3, "QuotaExceeded": 5}

    def test_of_what_jobs_begin_with_are_held_against_many_at_once(self, scene, another_store):
        limit(scene, stored_bytes=48 + 30)
        new = scene.new_job(start=Start(0, 0, "digest", 10, "blob_none"))
        stores = [another_store() for _ in range(8)]
        found = at_once(*(partial(jobs.create, store, new, answer=lambda _: b"{}") for store in stores))
        assert Counter(type(one).__name__ for one in found) == {"Created": 3, "QuotaExceeded": 5}

    def test_is_known_before_anything_is_written(self, scene):
        limit(scene, stored_bytes=30)
        quotas.room_is_left(scene.store, "default", 30)
        quotas.room_is_left(scene.store, "default")
        refusal(lambda: quotas.room_is_left(scene.store, "default", 31))


def test_a_network_of_more_parameters_is_refused(scene):
    limit(scene, parameters=1000)
    scene.job(parameters=1000)
    refused = refusal(lambda: scene.job(parameters=1001))
    assert (refused.quota, refused.limit, refused.used) == ("parameters", 1000, 1001)


class TestWorkerSecondsPerDay:
    def test_that_are_used_up_refuse_until_the_day_ends(self, scene):
        limit(scene, worker_seconds_per_day=50)
        scene.job()
        waiting = scene.job()
        claim = scene.claim()
        scene.record_seconds(claim, 49.9)
        scene.job()
        scene.record_seconds(claim, 0.2)
        refused = refusal(scene.job)
        ends_at = (START // DAY_SECONDS + 1) * DAY_SECONDS
        assert (refused.quota, refused.limit, round(refused.used, 3)) == ("worker_seconds_per_day", 50, 50.1)
        assert (refused.resets_at, refused.retry_after_seconds) == (ends_at, ends_at - START)
        assert jobs.get(scene.store, "default", waiting).held_by == "worker_seconds_per_day"
        assert next_claim(scene) is None
        scene.clock.step(refused.retry_after_seconds)
        scene.job()
        assert scene.claim().job_id == waiting

    def test_a_running_job_goes_on_to_the_end_of_its_slice(self, scene):
        limit(scene, worker_seconds_per_day=1)
        job_id = scene.job()
        claim = scene.claim()
        scene.record_seconds(claim, 5)
        assert claims.release(scene.store, claim, scene.progress(50, seconds=5)) == "queued"
        assert next_claim(scene) is None
        assert scene.row(job_id).state == "queued"

    def test_count_from_midnight(self, scene):
        limit(scene, worker_seconds_per_day=100)
        scene.job()
        claim = scene.claim()
        scene.record_seconds(claim, 30)
        scene.record_seconds(claim, 12)
        assert quotas.use(scene.store, "default")[Quota.WORKER_SECONDS_PER_DAY].used == 42
        scene.clock.step(DAY_SECONDS)
        assert quotas.use(scene.store, "default")[Quota.WORKER_SECONDS_PER_DAY].used == 0
        scene.record_seconds(claim, 5)
        assert quotas.use(scene.store, "default")[Quota.WORKER_SECONDS_PER_DAY].used == 5

    def test_a_clock_that_is_set_back_gives_none_back(self, scene):
        limit(scene, worker_seconds_per_day=100)
        scene.job()
        claim = scene.claim()
        scene.record_seconds(claim, 30)
        scene.clock.step(-2 * DAY_SECONDS)
        scene.record_seconds(claim, 12)
        assert quotas.use(scene.store, "default")[Quota.WORKER_SECONDS_PER_DAY].used == 42


def test_a_tenant_without_limits_has_none(scene):
    assert set(quotas.limits_of(tenants.get(scene.store, "default")).values()) == {None}
    for _ in range(20):
        scene.job(parameters=10**12)


def test_the_use_of_a_tenant_that_is_not_there_is_not_found(scene):
    with pytest.raises(NotFound):
        quotas.use(scene.store, "nobody")
