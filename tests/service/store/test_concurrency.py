"""Many at once, each with connections of its own: nothing is done twice, nothing is lost, nobody waits for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise

import pytest
import sqlalchemy as sa

from service.store import claims, jobs, reaping
from service.store.claims import Ending
from service.store.database import Store
from service.store.errors import IdempotencyConflict, IllegalAction, LostClaim
from service.store.idempotency import Once
from service.store.metrics import Metric
from service.store.models import Installation, Job, Tenant
from service.store.states import Action, Outcome

AT_ONCE = 8

CLAIM_UNTIL_NONE = """
import json, sys
from service.store import claims
from service.store.database import Store
store = Store(sys.argv[1])
store.engine.connect().close()
print("ready", flush=True)
sys.stdin.readline()
taken = []
while (claim := claims.claim(store, sys.argv[2], "cpu", 30)) is not None:
    taken.append(claim.job_id)
print(json.dumps(taken))
store.close()
"""


def at_once(*calls):
    """The results of `calls`, or what they raised, each run in a thread of its own, all started together."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


@pytest.fixture
def stores(store_url, clock):
    """As many stores as there are actors, with one clock."""
    opened = [Store(store_url, clock=clock) for _ in range(AT_ONCE)]
    yield opened
    for store in opened:
        store.close()


def test_threads_claim_each_job_exactly_once(scene, stores):
    queued = [scene.job() for _ in range(40)]

    def claim_until_none(store):
        taken = []
        while (claim := claims.claim(store, "worker", "cpu", 30)) is not None:
            taken.append((claim.job_id, claim.fence))
        return taken

    taken = at_once(*(partial(claim_until_none, store) for store in stores))

    assert sorted(chain.from_iterable(taken)) == sorted((job_id, 1) for job_id in queued)
    assert all(scene.row(job_id).event_seq == 2 for job_id in queued)


def test_processes_claim_each_job_exactly_once(scene, store_url):
    queued = [scene.job() for _ in range(60)]
    command = [sys.executable, "-c", CLAIM_UNTIL_NONE, store_url]
    workers = [subprocess.Popen([*command, f"worker_{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in range(4)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()

    taken = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]

    assert sorted(chain.from_iterable(taken)) == sorted(queued)


def test_on_sqlite_a_write_that_reads_first_loses_no_update(sqlite_url):
    """BEGIN IMMEDIATE: what a write has read cannot change before it writes."""
    stores = [Store(sqlite_url) for _ in range(AT_ONCE)]

    def count(store):
        for _ in range(25):
            with store.write() as session:
                row = session.get_one(Installation, 1)
                row.woken_at += 1

    assert at_once(*(partial(count, store) for store in stores)) == [None] * AT_ONCE
    with stores[0].read() as session:
        assert session.get_one(Installation, 1).woken_at == 25 * AT_ONCE
    for store in stores:
        store.close()


def test_seconds_charged_to_one_tenant_by_many_workers_add_up(scene, stores):
    owned = []
    for _ in stores:
        scene.job()
        owned.append(scene.claim())

    def work(store, claim):
        for step in range(20):
            claims.record(store, claim, scene.progress(step, seconds=0.25))
        claims.release(store, claim, scene.progress(20, seconds=0.25))

    assert at_once(*(partial(work, store, claim) for store, claim in zip(stores, owned, strict=True))) == [None] * AT_ONCE
    with scene.store.read() as session:
        assert session.get_one(Tenant, "default").used_seconds == 21 * 0.25 * AT_ONCE
        assert set(session.scalars(sa.select(Job.trained_seconds))) == {21 * 0.25}


@pytest.mark.parametrize("action", Action)
def test_a_finish_that_races_a_request_loses_no_work(scene, stores, action):
    """Whoever comes first, the job ends once and its events tell how."""
    told = {
        Action.PAUSE: (["pausing", "succeeded"], ["succeeded"]),
        Action.RESUME: (["succeeded"],),
        Action.STOP: (["stopping", "succeeded"], ["succeeded"]),
        Action.CANCEL: (["cancelling", "cancelled"], ["succeeded"]),
    }
    for _ in range(15):
        job_id = scene.job()
        claim = scene.claim()

        asked, finished = at_once(
            partial(jobs.request, stores[0], "default", job_id, action),
            partial(claims.finish, stores[1], claim, Ending(Outcome.SUCCEEDED), scene.progress(100)),
        )

        events = scene.events(job_id)
        assert [event.data["state"] for event in events[2:]] in told[action]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert scene.row(job_id).state == finished == events[-1].data["state"]
        if not isinstance(asked, IllegalAction):
            assert asked == (len(events) == 4)


def test_requests_of_many_users_and_a_worker_leave_one_history(scene, stores):
    """Each answer "changed" is one event, and each event leads from the state before."""
    leads_to = {
        "queued": {"running", "paused", "stopped", "cancelled"},
        "running": {"queued", "pausing", "stopping", "cancelling"},
        "pausing": {"running", "paused", "stopping", "cancelling"},
        "paused": {"queued", "stopped", "cancelled"},
        "stopping": {"stopped", "cancelling"},
        "cancelling": {"cancelled"},
    }
    job_id = scene.job()

    def ask(store, number):
        changed = 0
        for turn in range(12):
            action = Action.RESUME if (turn + number) % 2 else Action.PAUSE
            try:
                changed += jobs.request(store, "default", job_id, action)
            except IllegalAction:
                return changed
        return changed + (number == 0 and jobs.request(store, "default", job_id, Action.CANCEL))

    def work(store):
        changed = 0
        for _ in range(12):
            claim = claims.claim(store, "worker", "cpu", 30)
            if claim is not None:
                changed += 1
                claims.renew(store, claim, 30)
                claims.release(store, claim, scene.progress(1))
                changed += 1
        return changed

    changed = at_once(*(partial(ask, store, number) for number, store in enumerate(stores[:5])), partial(work, stores[5]))

    events = scene.events(job_id)
    states = [event.data["state"] for event in events]
    assert sum(changed) + 1 == len(events) == scene.row(job_id).event_seq
    assert all(after in leads_to[before] for before, after in pairwise(states))


def test_several_reapers_at_once_reap_each_job_once(scene, stores, clock):
    lost = []
    for _ in range(12):
        scene.job()
        lost.append(scene.claim())
    clock.step(31)

    reaped = at_once(*(partial(reaping.reap, store, max_losses=5) for store in stores))

    assert Counter(one.job_id for found in reaped for one in found) == dict.fromkeys((claim.job_id for claim in lost), 1)
    for claim in lost:
        row = scene.row(claim.job_id)
        assert (row.state, row.fence, row.losses, row.event_seq) == ("queued", claim.fence + 1, 1, 3)


def test_a_worker_that_froze_in_a_write_keeps_no_other_job_from_being_reaped(postgres_url, scene_on, clock):
    """Its transaction holds the row of its job; until the server cuts it off, the reaper goes on with the rest."""
    scene, frozen = scene_on(postgres_url), Store(postgres_url, clock=clock)
    lost = []
    for _ in range(3):
        scene.job()
        lost.append(scene.claim().job_id)
    clock.step(31)
    with frozen.write() as session:
        session.execute(sa.update(Job).where(Job.id == lost[0]).values(heartbeat_at=clock()))
        started = time.monotonic()
        assert {one.job_id for one in reaping.reap(scene.store, max_losses=5)} == set(lost[1:])
        assert time.monotonic() - started < 5
    assert {one.job_id for one in reaping.reap(scene.store, max_losses=5)} == {lost[0]}
    frozen.close()


def test_only_one_reaper_wakes_the_workers(scene, stores):
    scene.job()
    assert sum(at_once(*(partial(reaping.may_wake, store, 5) for store in stores))) == 1


def test_a_worker_and_a_reaper_that_race_never_both_have_their_way(scene, stores, clock):
    """A lease that has expired may still be renewed, and its job finished, until it is reaped; then no more."""
    for _ in range(15):
        job_id = scene.job()
        claim = scene.claim()
        clock.step(31)

        reaped, finished = at_once(
            partial(reaping.reap, stores[0], max_losses=5),
            partial(claims.finish, stores[1], claim, Ending(Outcome.SUCCEEDED), scene.progress(100)),
        )

        row = scene.row(job_id)
        if reaped:
            assert isinstance(finished, LostClaim)
            assert (row.state, row.step) == ("queued", 0)
            scene.request(job_id, "cancel")
        else:
            assert finished == row.state == "succeeded"


class TestIdempotentCreates:
    """The same key, sent many times at once: one job, and the same answer to everybody."""

    def create(self, scene, store, *, body="sha256:1", answer=None):
        once = Once("/v1/jobs", "key", body)
        return jobs.create(store, scene.new_job(), answer=answer or (lambda detail: detail.job.id.encode()), once=once)

    def job_ids(self, scene):
        with scene.store.read() as session:
            return list(session.scalars(sa.select(Job.id)))

    def test_make_one_job_and_get_one_answer(self, scene, stores):
        scene.dataset()
        made = at_once(*(partial(self.create, scene, store) for store in stores))
        (job_id,) = self.job_ids(scene)
        assert {(one.id, one.answer) for one in made} == {(job_id, job_id.encode())}
        assert Counter(one.replayed for one in made) == {False: 1, True: AT_ONCE - 1}

    def test_with_another_body_are_refused(self, scene, stores):
        scene.dataset()
        bodies = [f"sha256:{number % 2}" for number in range(AT_ONCE)]
        made = at_once(*(partial(self.create, scene, store, body=body) for store, body in zip(stores, bodies, strict=True)))
        (job_id,) = self.job_ids(scene)
        refused = [isinstance(one, IdempotencyConflict) for one in made]
        assert refused in ([True, False] * (AT_ONCE // 2), [False, True] * (AT_ONCE // 2))
        assert {one.id for one in made if not isinstance(one, IdempotencyConflict)} == {job_id}

    def test_wait_for_the_first_that_is_under_way(self, scene, stores):
        scene.dataset()
        under_way = threading.Event()

        def slow_answer(detail):
            under_way.set()
            time.sleep(0.3)
            return b"the first one's"

        def twin():
            under_way.wait(5)
            return self.create(scene, stores[1])

        first, second = at_once(partial(self.create, scene, stores[0], answer=slow_answer), twin)
        assert (first.id, first.answer, first.replayed) == (second.id, b"the first one's", False)
        assert (second.answer, second.replayed) == (b"the first one's", True)

    def test_do_it_themselves_if_the_first_fails(self, scene, stores):
        scene.dataset()
        under_way = threading.Event()

        def failing_answer(detail):
            under_way.set()
            time.sleep(0.3)
            raise RuntimeError("no answer")

        def twin():
            under_way.wait(5)
            return self.create(scene, stores[1])

        first, second = at_once(partial(self.create, scene, stores[0], answer=failing_answer), twin)
        assert isinstance(first, RuntimeError)
        assert self.job_ids(scene) == [second.id]
        assert not second.replayed


def test_everything_at_once_ends_without_deadlock(scene, stores, clock):
    """Creating, claiming, recording, finishing, requesting and reaping on few jobs of one tenant, as fast as it goes."""
    until = time.monotonic() + 3
    scene.dataset()

    def user(store):
        while time.monotonic() < until:
            job_id = jobs.create(store, scene.new_job(), answer=lambda _: b"").id
            for action in (Action.PAUSE, Action.RESUME, Action.STOP, Action.CANCEL):
                try:
                    jobs.request(store, "default", job_id, action)
                except IllegalAction:
                    break

    def worker(store):
        while time.monotonic() < until:
            claim = claims.claim(store, "worker", "cpu", 30)
            if claim is not None:
                try:
                    claims.record(store, claim, scene.progress(1, seconds=0.1), [Metric(1, 0, {})])
                    claims.renew(store, claim, 30)
                    claims.finish(store, claim, Ending(Outcome.SUCCEEDED), scene.progress(2, seconds=0.1))
                except LostClaim:
                    pass

    def reaper(store):
        while time.monotonic() < until:
            clock.step(20)
            reaping.reap(store, max_losses=5)
            jobs.page(store, "default", limit=20)

    calls = [user, user, user, worker, worker, worker, reaper, reaper]
    assert at_once(*(partial(call, store) for call, store in zip(calls, stores, strict=True))) == [None] * AT_ONCE
