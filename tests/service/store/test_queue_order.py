"""Which job is next: priority with ageing, then the tenant that had less, then whoever waits longest."""

from __future__ import annotations

from collections import Counter

import pytest

from service.store import claims, jobs, workers
from service.store.claims import look
from service.store.queue_order import AGEING_SECONDS, FADING_SECONDS
from service.store.states import Action, State


def claimed_order(scene):
    """Every queued job, in the order a worker takes them."""
    order = []
    while (claim := claims.claim(scene.store, "worker_1", "cpu", 30)) is not None:
        order.append(claim.job_id)
    return order


def jobs_ahead(scene, job_id, tenant_id="default"):
    return jobs.get(scene.store, tenant_id, job_id).jobs_ahead


def test_of_equal_jobs_the_one_that_waits_longest_is_next(scene):
    queued = []
    for _ in range(4):
        queued.append(scene.job())
        scene.clock.step(1)
    assert claimed_order(scene) == queued


def test_higher_priority_goes_first(scene):
    low, high, highest = scene.job(priority=-1), scene.job(priority=0), scene.job(priority=7)
    assert claimed_order(scene) == [highest, high, low]


@pytest.mark.parametrize(
    ("waited_seconds", "old_goes_first"), [(AGEING_SECONDS - 1, False), (AGEING_SECONDS, True), (5 * AGEING_SECONDS, True)]
)
def test_ageing_lets_no_job_starve_behind_a_higher_priority(scene, waited_seconds, old_goes_first):
    old = scene.job(priority=0)
    scene.clock.step(waited_seconds)
    urgent = scene.job(priority=1)
    assert claimed_order(scene) == ([old, urgent] if old_goes_first else [urgent, old])


def test_a_released_job_goes_behind_a_newcomer(scene):
    long_job = scene.job()
    claim = scene.claim()
    scene.clock.step(20)
    newcomer = scene.job()
    scene.clock.step(1)
    claims.release(scene.store, claim, scene.progress(50, seconds=20))
    assert claimed_order(scene) == [newcomer, long_job]


def test_a_resumed_job_goes_behind_those_that_waited(scene):
    paused = scene.job()
    jobs.request(scene.store, "default", paused, Action.PAUSE)
    scene.clock.step(1)
    waiting = scene.job()
    scene.clock.step(1)
    jobs.request(scene.store, "default", paused, Action.RESUME)
    assert claimed_order(scene) == [waiting, paused]


def test_the_tenant_that_had_less_goes_first(scene):
    scene.tenant("greedy")
    scene.tenant("modest")
    scene.job("greedy")
    scene.record_seconds(scene.claim(), 100.0)
    first, second = scene.job("greedy"), scene.job("modest")
    assert claimed_order(scene) == [second, first]


def test_two_tenants_get_equal_time_however_many_jobs_each_has(scene):
    """One worker, turns of 20 s; the many jobs of one tenant do not press on the one of the other."""
    for tenant in ("many", "one"):
        scene.tenant(tenant)
    for _ in range(6):
        scene.job("many")
    scene.clock.step(1)
    scene.job("one")
    turns = Counter()
    for _ in range(40):
        claim = scene.claim()
        scene.clock.step(20)
        claims.release(scene.store, claim, scene.progress(1, seconds=20))
        turns[claim.tenant_id] += 1
    assert abs(turns["many"] - turns["one"]) <= 1


def test_what_a_tenant_used_long_ago_counts_little(scene):
    scene.tenant("earlier")
    scene.tenant("lately")
    scene.job("earlier")
    scene.record_seconds(scene.claim(), 100.0)
    scene.clock.step(9 * FADING_SECONDS)  # of the 100 s a tenth is left
    scene.job("lately")
    scene.record_seconds(scene.claim(), 11.0)
    second, first = scene.job("lately"), scene.job("earlier")
    assert claimed_order(scene) == [first, second]


def test_jobs_ahead_is_the_order_in_which_jobs_are_really_claimed(scene):
    for tenant, seconds in (("a", 30.0), ("b", 5.0)):
        scene.tenant(tenant)
        scene.job(tenant)
        scene.record_seconds(scene.claim(), seconds)
    tenants = {}
    for number, (tenant, priority) in enumerate(
        [("a", 0), ("b", 0), ("a", 2), ("default", 0), ("b", -1), ("a", 0), ("default", 1), ("b", 2)]
    ):
        tenants[scene.job(tenant, priority=priority)] = tenant
        scene.clock.step(AGEING_SECONDS / 3 if number % 3 == 0 else 1)

    said = sorted(tenants, key=lambda job_id: jobs_ahead(scene, job_id, tenants[job_id]))
    assert [jobs_ahead(scene, job_id, tenants[job_id]) for job_id in said] == list(range(8))
    listed = {detail.job.id: detail.jobs_ahead for tenant in set(tenants.values()) for detail in jobs.page(scene.store, tenant, limit=100)}
    assert [listed[job_id] for job_id in said] == list(range(8))
    assert claimed_order(scene) == said


def test_a_job_that_is_not_queued_has_none_ahead(scene):
    job_id, _ = scene.job_in(State.RUNNING)
    assert jobs_ahead(scene, job_id) is None


def test_the_answer_to_a_create_says_how_many_are_ahead(scene):
    scene.job()
    said = []
    jobs.create(scene.store, scene.new_job(), answer=lambda detail: said.append(detail.jobs_ahead) or b"")
    assert said == [1]


class TestNewcomers:
    """A worker makes room for a job that never ran, and only for one that it would then really take."""

    def waits(self, scene, claim):
        return look(scene.store, claim, newcomer_seconds=2).newcomer_waits

    def test_room_is_made_after_two_seconds(self, scene):
        scene.job()
        claim = scene.claim()
        assert not self.waits(scene, claim)
        scene.job()
        scene.clock.step(1.9)
        assert not self.waits(scene, claim)
        scene.clock.step(0.2)
        assert self.waits(scene, claim)

    def test_a_job_that_ran_before_is_no_newcomer(self, scene):
        scene.job()
        scene.job()
        first = scene.claim("worker_1")
        second = scene.claim("worker_2")
        claims.release(scene.store, first, scene.progress(1))
        scene.clock.step(10)
        assert not self.waits(scene, second)

    @pytest.mark.parametrize(("priority", "waits"), [(-1, False), (0, True), (1, True)])
    def test_a_newcomer_of_lower_priority_waits_for_the_turn_to_end(self, scene, priority, waits):
        scene.job(priority=0)
        claim = scene.claim()
        scene.job(priority=priority)
        scene.clock.step(3)
        assert self.waits(scene, claim) is waits

    @pytest.mark.parametrize("used_by_newcomer", [0.0, 5.0, 50.0])
    @pytest.mark.parametrize("used_by_owner", [0.0, 5.0, 50.0])
    @pytest.mark.parametrize("priority", [-1, 0, 1])
    def test_room_is_made_exactly_for_a_newcomer_that_is_then_claimed(self, scene, used_by_owner, used_by_newcomer, priority):
        """Otherwise the worker would take its own job again, look, and make room again: a checkpoint twice a second, for nothing."""
        for tenant, used in (("owner", used_by_owner), ("new", used_by_newcomer)):
            scene.tenant(tenant)
            spent = scene.job(tenant)
            scene.record_seconds(scene.claim(), used)
            jobs.request(scene.store, tenant, spent, Action.CANCEL)
        owned = scene.job("owner")
        claim = scene.claim()
        newcomer = scene.job("new", priority=priority)
        scene.clock.step(3)

        waits = self.waits(scene, claim)
        claims.release(scene.store, claim, scene.progress(1, seconds=0.1))
        next_job = scene.claim().job_id

        if waits:
            assert next_job == newcomer
        elif (priority, used_by_owner) != (0, used_by_newcomer):  # its last tenth of a second may tip an even balance
            assert next_job == owned


class TestFingerprints:
    """A job stays in the environment that began it while that one has a living worker: another would change its bits."""

    def began_on(self, scene, fingerprint):
        """A queued job that ran a slice on a worker of that environment."""
        job_id = scene.job()
        claims.release(scene.store, scene.claim("worker_1", fingerprint), scene.progress(1))
        return job_id

    def test_another_environment_leaves_the_job_to_its_workers(self, scene):
        scene.register(1, "avx512")
        job_id = self.began_on(scene, "avx512")
        newcomer = scene.job()
        assert scene.claim("worker_2", "avx2").job_id == newcomer
        assert claims.claim(scene.store, "worker_2", "avx2", 30) is None
        assert scene.claim("worker_1", "avx512").job_id == job_id

    @pytest.mark.parametrize("gone", ["silent", "left"])
    def test_it_is_taken_over_when_none_is_alive_and_an_event_says_so(self, scene, gone):
        worker_id = scene.register(1, "avx512")
        job_id = self.began_on(scene, "avx512")
        if gone == "left":
            workers.leave(scene.store, worker_id)
        else:
            scene.clock.step(claims.ALIVE_SECONDS + 1)

        assert scene.claim("worker_2", "avx2").job_id == job_id
        assert scene.events(job_id)[-1].data["environment_changed"] == {"from": "avx512", "to": "avx2"}
        assert scene.row(job_id).fingerprint == "avx2"

    def test_a_beat_keeps_a_worker_alive(self, scene):
        worker_id = scene.register(1, "avx512")
        self.began_on(scene, "avx512")
        for _ in range(5):
            scene.clock.step(claims.ALIVE_SECONDS - 1)
            workers.beat(scene.store, worker_id)
        assert claims.claim(scene.store, "worker_2", "avx2", 30) is None

    def test_the_same_environment_takes_it_without_a_word(self, scene):
        scene.register(1, "avx512")
        job_id = self.began_on(scene, "avx512")
        scene.claim("worker_2", "avx512")
        assert "environment_changed" not in scene.events(job_id)[-1].data
