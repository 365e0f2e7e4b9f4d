"""The protocol of claims, fences and leases against a model in plain Python: whatever workers, users, reapers and the clock do.

Hypothesis drives the store's functions in any order: workers that freeze and wake too late, processes that die, reapers that act on
what they saw long ago, clocks that step. After every step the database is compared with the model, and what must always hold is asked.
A thorough run: pytest tests/service/store/test_protocol.py --hypothesis-profile=deep
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.store import blobs, checkpoints, claims, jobs, reaping, workers
from service.store.claims import Claim, Ending, NewSnapshot, Progress
from service.store.database import Store
from service.store.errors import IllegalAction, LostClaim
from service.store.metrics import Metric
from service.store.models import BlobChunk, Checkpoint, Job, JobEvent, JobMetric, Snapshot, Tenant
from service.store.states import Action, Outcome
from service.store.workers import Process

START = 1_000_000.0
LEASE_SECONDS = 30.0
MAX_LOSSES = 2
END_STATES = {"succeeded", "failed", "stopped", "cancelled"}
OWNED = {"running", "pausing", "stopping", "cancelling"}
TENANTS = ("default", "second")
FINGERPRINTS = {1: "cpu_a", 2: "cpu_a", 3: "cpu_b"}  # of each worker, by its number

REQUESTS = {
    "pause": {"queued": "paused", "running": "pausing", "pausing": "same", "paused": "same"},
    "resume": {"paused": "queued", "pausing": "running", "queued": "same", "running": "same"},
    "stop": {"queued": "stopped", "paused": "stopped", "running": "stopping", "pausing": "stopping", "stopping": "same", "stopped": "same"},
    "cancel": {
        **dict.fromkeys(("queued", "paused"), "cancelled"),
        **dict.fromkeys(("running", "pausing", "stopping"), "cancelling"),
        **dict.fromkeys(("cancelling", "cancelled"), "same"),
    },
}
LEFT = {"running": "queued", "pausing": "paused", "stopping": "stopped", "cancelling": "cancelled"}
FINISHED = {
    "succeeded": {**dict.fromkeys(("running", "pausing", "stopping"), "succeeded"), "cancelling": "cancelled"},
    "failed": {**dict.fromkeys(("running", "pausing", "stopping"), "failed"), "cancelling": "cancelled"},
    "stopped": {"stopping": "stopped", "cancelling": "cancelled"},
    "cancelled": {"cancelling": "cancelled"},
}
WORKER_ACTIONS = ("look", "renew", "note", "record", "save", "rewind", "release", *(f"finish {outcome}" for outcome in FINISHED))


T = TypeVar("T")
PICKS = st.integers(0, 1000)


def one_of(things: Iterable[T], pick: int) -> T:
    """The `pick`-th of `things`, counted round and round."""
    ordered = list(things)
    return ordered[pick % len(ordered)]


@dataclass
class ModelJob:
    """What the job's rows must say."""

    id: str
    tenant: str
    priority: int
    runnable_since: float
    state: str = "queued"
    fence: int = 0
    losses: int = 0
    slices: int = 0
    step: int = 0
    trained_seconds: float = 0.0
    lease_until: float | None = None
    worker_id: str | None = None
    fingerprint: str | None = None
    reason: str | None = None
    events: list[str] = field(default_factory=lambda: ["queued"])
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)
    metrics: dict[int, float] = field(default_factory=dict)
    snapshots: dict[int, str] = field(default_factory=dict)

    def change(self, state: str, now: float) -> None:
        """Go to another state: one event; without an owner there is no lease."""
        hypothesis.event(f"{self.state} -> {state}")
        self.state = state
        self.events.append(state)
        if state not in OWNED:
            self.lease_until, self.worker_id = None, None
        if state == "queued":
            self.runnable_since = now

    def newest(self) -> tuple[int, bytes] | None:
        """The newest checkpoint that is whole."""
        whole = [step for step in self.checkpoints if step not in self.damaged]
        return (max(whole), self.checkpoints[max(whole)]) if whole else None


class Protocol(RuleBasedStateMachine):
    """Users, workers, reapers and a clock on one store, beside the model."""

    store: Store  # set by the test, as are the next two
    clock: Any
    empty: Any

    @initialize()
    def begin(self) -> None:
        self.empty(self.store)
        self.clock.seconds = START
        self.jobs: dict[str, ModelJob] = {}
        self.used = dict.fromkeys(TENANTS, (0.0, 0.0))  # seconds, and when they were
        self.claims: list[Claim] = []
        self.rounds: list[tuple[str, int]] = []  # what reapers saw as expired
        self.workers: dict[int, tuple[str, float]] = {}  # of each worker's number: its id, and when it was heard of
        self.living: set[int] = set()
        self.ended: dict[str, Any] = {}  # the rows of ended jobs as they were at the end
        self.fences: dict[str, int] = {}
        self.serial = 0
        with self.store.write() as session:
            session.add(Tenant(id="second", name="second", created_at=0.0))
            for tenant in TENANTS:
                session.execute(DATASET, {"id": f"ds_{tenant}", "tenant_id": tenant})
        for number in FINGERPRINTS:
            self.start_worker(number)

    # What can happen

    @rule(what=st.runner().flatmap(lambda self: st.sampled_from(self.possible())), pick=PICKS)
    def happens(self, what: str, pick: int) -> None:
        """One thing. pick: on which job, by which worker, with which numbers.

        A single rule, since Hypothesis leaves some rules of a machine out of each run, and without claims or jobs little happens.
        """
        hypothesis.event(what)
        actor, _, action = what.partition(" ")
        getattr(self, actor)(*([action] if action else []), pick)

    def possible(self) -> list[str]:
        """What can happen now, several times what should happen often."""
        live, stale = (any(self.is_live(claim) is answer for claim in self.claims) for answer in (True, False))
        waiting = any(job.state == "queued" for job in self.jobs.values())
        under_way = sum(job.state not in END_STATES for job in self.jobs.values())
        some = ["create"] * 3 * (under_way < 3) + ["clock_steps"] * 3 + ["reaper_reaps"] * 2  # few jobs, so that much happens to each
        some += ["claim"] * 6 * waiting + ["claim", "ask_how_many_are_ahead"]
        some += [f"process {what}" for what in ("dies", "starts", "starts", "is_found_dead", "beats")]
        some += [
            f"user {action}"
            for action, often in (("pause", 2), ("resume", 4), ("stop", 1), ("cancel", 1))
            for _ in range(often)
            if self.jobs
        ]
        some += [f"owner {action}" for action in WORKER_ACTIONS for _ in range(1 if action.startswith("finish") else 2) if live]
        some += [f"frozen_worker {action}" for action in WORKER_ACTIONS if stale]
        some += ["checkpoint_rots"] * any(job.checkpoints for job in self.jobs.values())
        some += ["late_reaper"] * 2 * bool(self.rounds)
        return some

    def create(self, pick: int) -> None:
        tenant, priority = one_of(TENANTS, pick), pick // 2 % 3 - 1
        new = jobs.NewJob(tenant, f"ds_{tenant}", {}, steps=100, epochs=10, priority=priority)
        job_id = jobs.create(self.store, new, answer=lambda _: b"").id
        self.jobs[job_id] = ModelJob(job_id, tenant, priority, self.now)

    def user(self, action: str, pick: int) -> None:
        job = one_of([job for job in self.jobs.values() if job.state not in END_STATES or pick % 8 == 0] or self.jobs.values(), pick)
        expected = REQUESTS[action].get(job.state)
        if expected is None:
            with pytest.raises(IllegalAction):
                jobs.request(self.store, job.tenant, job.id, Action(action))
            return
        assert jobs.request(self.store, job.tenant, job.id, Action(action)) == (expected != "same")
        if expected != "same":
            job.change(expected, self.now)

    def ask_how_many_are_ahead(self, _: int) -> None:
        expected = {job.id: place for place, job in enumerate(self.queue())}
        for tenant in TENANTS:
            for detail in jobs.page(self.store, tenant, limit=1000):
                assert detail.jobs_ahead == expected.get(detail.job.id)

    def claim(self, pick: int) -> None:
        number = one_of(FINGERPRINTS, pick)
        fingerprint = FINGERPRINTS[number]
        worker_id = self.workers[number][0] if number in self.workers else "a worker that everybody takes for dead"
        claim = claims.claim(self.store, worker_id, fingerprint, LEASE_SECONDS)
        claimable = [job for job in self.queue() if job.fingerprint in (None, fingerprint) or not self.somebody_alive(job.fingerprint)]
        assert (claim and claim.job_id) == (claimable[0].id if claimable else None)
        if claim is not None:
            job = claimable[0]
            job.change("running", self.now)
            job.fence, job.slices, job.fingerprint = job.fence + 1, job.slices + 1, fingerprint
            job.lease_until, job.worker_id = self.now + LEASE_SECONDS, worker_id
            assert (claim.fence, claim.slices, claim.step) == (job.fence, job.slices, job.step)
            assert all((claim.job_id, claim.fence) != (other.job_id, other.fence) for other in self.claims), "two owners at once"
            self.claims.append(claim)

    def owner(self, action: str, pick: int) -> None:
        claim = one_of(self.live_claims(), pick)
        job, now = self.jobs[claim.job_id], self.now
        step, seconds = job.step + one_of((0, 1, 7, 40), pick // 5), one_of((0.0, 0.5, 20.0), pick // 20)
        if action == "rewind":  # to the newest whole checkpoint, or to the beginning if another version wrote that
            step = (job.newest() or (0,))[0] if pick % 3 else 0
        if action.startswith("finish") and job.state not in FINISHED[action.split()[1]]:
            self.refused(claim, action, step)
            return
        found = self.act(claim, action, step, seconds)
        if action == "look":
            assert (found.state, found.newcomer_waits) == (job.state, self.newcomer_waits(job))
        elif action == "renew":
            assert found == job.state
            job.lease_until = now + LEASE_SECONDS
        elif action == "note":
            job.events.append("note")
        elif action == "rewind":
            job.step = step
            job.metrics = {at: value for at, value in job.metrics.items() if at <= step}
            job.checkpoints = {at: data for at, data in job.checkpoints.items() if at <= step}
        elif action == "save":
            self.model_save(job, step)
        else:
            job.step, job.trained_seconds = step, job.trained_seconds + seconds
            job.metrics.setdefault(step, float(self.serial))
            self.used[job.tenant] = (self.faded(job.tenant) + seconds, now)
            if action != "record":
                state = LEFT[job.state] if action == "release" else FINISHED[action.split()[1]][job.state]
                if action.startswith("finish") and state != "cancelled":
                    job.snapshots = {step: f"blob_{self.serial}", step + 1: f"blob_{self.serial}"}
                    job.reason = "internal" if state == "failed" else None
                job.change(state, now)
                assert found == state

    def frozen_worker(self, action: str, pick: int) -> None:
        """It wakes too late, and goes on as if nothing had happened."""
        stale = [claim for claim in self.claims if not self.is_live(claim)]
        overtaken = [claim for claim in stale if self.jobs[claim.job_id].state in OWNED]  # by another worker's claim
        claim = one_of(overtaken or stale, pick)
        self.refused(claim, action, self.jobs[claim.job_id].step + 1)

    def checkpoint_rots(self, pick: int) -> None:
        job = one_of((job for job in self.jobs.values() if job.checkpoints), pick)
        job.damaged.add(max(job.checkpoints))
        with self.store.write() as session:
            row = session.get_one(Checkpoint, (job.id, max(job.checkpoints)))
            session.execute(sa.update(BlobChunk).where(BlobChunk.blob_id == row.blob_id).values(data=b"bit rot"))

    def process(self, what: str, pick: int) -> None:
        number = one_of(FINGERPRINTS, pick)
        if what == "dies":
            self.living.discard(number)
        elif what == "starts" and number not in self.living:
            self.expire_dead()
            self.start_worker(number)
        elif what == "is_found_dead":
            self.expire_dead()
        elif what == "beats" and number in self.living:
            workers.beat(self.store, self.workers[number][0])
            self.workers[number] = (self.workers[number][0], self.now)

    def start_worker(self, number: int) -> None:
        worker_id = workers.register(self.store, Process(number, 1), FINGERPRINTS[number])
        self.living.add(number)
        self.workers[number] = (worker_id, self.now)

    def expire_dead(self) -> None:
        dead = {number: worker_id for number, (worker_id, _) in self.workers.items() if number not in self.living}
        lost = [job for job in self.jobs.values() if job.worker_id in dead.values()]
        found = workers.expire_dead(self.store, lambda pid: Process(pid, 1) if pid in self.living else None)
        assert found == len(lost)
        for job in lost:
            job.lease_until = 0.0
        for number in dead:
            del self.workers[number]

    def clock_steps(self, pick: int) -> None:
        """On, or back: then a lease lasts longer, and nothing else may break. Reapers see what has expired by now."""
        self.clock.step(one_of((0.5, 2.5, 10.0, 29.5, 31.0, 31.0, 61.0, 700.0, -5.0, -100.0), pick))
        self.rounds += [(job.id, job.fence) for job in self.jobs.values() if self.is_expired(job)]

    def reaper_reaps(self, _: int) -> None:
        expected = [job for job in self.jobs.values() if self.is_expired(job)]
        reaped = reaping.reap(self.store, MAX_LOSSES)
        for job in expected:
            self.model_reap(job)
        assert {(one.job_id, one.state, one.losses) for one in reaped} == {(job.id, job.state, job.losses) for job in expected}

    def late_reaper(self, pick: int) -> None:
        """It acts on what it saw a while ago."""
        renewed = [(job_id, fence) for job_id, fence in self.rounds if self.jobs[job_id].fence == fence]
        expired_again = [(job_id, fence) for job_id, fence in self.rounds if self.is_expired(self.jobs[job_id])]
        job_id, fence = one_of(one_of((renewed, expired_again, self.rounds), pick) or self.rounds, pick // 3)
        job = self.jobs[job_id]
        expected = job.fence == fence and self.is_expired(job)
        before = None if expected else self.contents()
        reaped = reaping._reap(self.store, job_id, fence, MAX_LOSSES)
        assert (reaped is not None) == expected
        if expected:
            self.model_reap(job)
        else:
            assert self.contents() == before

    # What must always hold

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        with self.store.read() as session:
            rows = {row.id: row for row in session.execute(sa.select(*Job.__table__.columns))}
            found = sa.select(JobEvent.job_id, JobEvent.seq, JobEvent.type, JobEvent.data).order_by(JobEvent.job_id, JobEvent.seq)
            events = session.execute(found).all()
            metrics = session.execute(sa.select(JobMetric.job_id, JobMetric.step, JobMetric.values)).all()
            saved = session.execute(sa.select(Checkpoint.job_id, Checkpoint.step)).all()
            snapshots = session.execute(sa.select(Snapshot.job_id, Snapshot.step, Snapshot.blob_id)).all()
            used = {row.id: row.used_seconds for row in session.execute(sa.select(Tenant.id, Tenant.used_seconds))}
        assert set(rows) == set(self.jobs)
        for job in self.jobs.values():
            row = rows[job.id]
            names = ("state", "fence", "losses", "slices", "step", "trained_seconds", "lease_until", "worker_id", "fingerprint")
            assert {name: getattr(row, name) for name in names} == {name: getattr(job, name) for name in names}
            assert row.reason_code == job.reason
            assert row.state != "queued" or row.runnable_since == job.runnable_since
            assert row.event_seq == len(job.events)
            self.always(row, job)
        model = self.jobs.values()
        assert [(id, seq, data.get("state", type)) for id, seq, type, data in events] == [
            (job.id, seq, state) for job in sorted(model, key=lambda job: job.id) for seq, state in enumerate(job.events, 1)
        ]
        assert {(id, step): values["loss"] for id, step, values in metrics} == {(j.id, at): v for j in model for at, v in j.metrics.items()}
        assert set(map(tuple, saved)) == {(job.id, step) for job in model for step in job.checkpoints}
        assert set(map(tuple, snapshots)) == {(job.id, step, blob) for job in model for step, blob in job.snapshots.items()}
        assert used == pytest.approx({tenant: seconds for tenant, (seconds, _) in self.used.items()})

    def always(self, row: Any, job: ModelJob) -> None:
        """What holds of a job's row without looking at the model's."""
        assert (row.lease_until is not None) == (row.worker_id is not None) == (row.state in OWNED)
        assert (row.finished_at is not None) == (row.state in END_STATES)
        assert row.fence >= self.fences.get(row.id, 0), "the fence fell"
        self.fences[row.id] = row.fence
        assert sum(self.is_live(claim) for claim in self.claims if claim.job_id == row.id) <= 1
        assert row.state not in ("queued", "running") or row.losses < MAX_LOSSES + sum(event == "pausing" for event in job.events)
        assert sum(event in END_STATES for event in job.events) == (row.state in END_STATES)
        if row.state in END_STATES:
            assert self.ended.setdefault(row.id, tuple(row)) == tuple(row), "an end state changed"

    def teardown(self) -> None:
        """Every job can still be ended, and continues from its newest whole checkpoint; no bytes are left that nothing names."""
        if not hasattr(self, "jobs"):
            return
        for job in self.jobs.values():
            newest = checkpoints.newest(self.store, job.id)
            assert (newest and (newest[0], newest[2])) == job.newest()
        self.clock.step(100_000)
        self.reaper_reaps(0)
        self.the_store_says_what_the_model_says()
        for job in self.jobs.values():
            if job.state not in END_STATES:
                assert jobs.request(self.store, job.tenant, job.id, Action.CANCEL)
                job.change("cancelled", self.now)
        self.the_store_says_what_the_model_says()
        assert all(job.state in END_STATES for job in self.jobs.values())
        blobs.remove_orphans(self.store)
        with self.store.read() as session:
            assert set(session.scalars(sa.select(BlobChunk.blob_id))) == set(session.scalars(sa.select(Checkpoint.blob_id)))

    # The model

    @property
    def now(self) -> float:
        return float(self.clock())

    def is_live(self, claim: Claim) -> bool:
        job = self.jobs[claim.job_id]
        return job.fence == claim.fence and job.state in OWNED

    def live_claims(self) -> list[Claim]:
        return [claim for claim in self.claims if self.is_live(claim)]

    def is_expired(self, job: ModelJob) -> bool:
        return job.lease_until is not None and job.lease_until < self.now

    def somebody_alive(self, fingerprint: str | None) -> bool:
        return any(FINGERPRINTS[number] == fingerprint and at > self.now - 60 for number, (_, at) in self.workers.items())

    def faded(self, tenant: str) -> float:
        seconds, at = self.used[tenant]
        return seconds / (1 + max(self.now - at, 0) / 3600)

    def place(self, job: ModelJob) -> tuple[float, float, float, str]:
        aged = job.priority + math.floor((self.now - job.runnable_since) / 600)
        return -aged, self.faded(job.tenant), job.runnable_since, job.id

    def queue(self) -> list[ModelJob]:
        return sorted((job for job in self.jobs.values() if job.state == "queued"), key=self.place)

    def newcomer_waits(self, mine: ModelJob) -> bool:
        behind = (-mine.priority, self.faded(mine.tenant), self.now, "")
        return any(job.slices == 0 and job.runnable_since < self.now - 2 and self.place(job) < behind for job in self.queue())

    def model_save(self, job: ModelJob, step: int) -> None:
        if all(at < step for at in job.checkpoints):
            job.losses = 0
        held = sorted({*job.checkpoints, step})
        series = {min(at for at in held if at.bit_length() == bits) for bits in {at.bit_length() for at in held}}
        data = {**job.checkpoints, step: f"state {self.serial}".encode()}
        job.damaged.discard(step)
        job.checkpoints = {at: data[at] for at in held if at in series or at in held[-2:] or at == step}

    def model_reap(self, job: ModelJob) -> None:
        job.losses += 1
        job.fence += 1
        lost_for_good = job.state == "running" and job.losses >= MAX_LOSSES
        job.reason = "worker_lost" if lost_for_good else None
        job.change("failed" if lost_for_good else LEFT[job.state], self.now)

    def refused(self, claim: Claim, action: str, step: int) -> None:
        """The store refuses, and writes nothing but bytes that nothing names: other tables are compared with the model anyway."""
        before = self.contents()
        with pytest.raises(LostClaim):
            self.act(claim, action, step, 1.0)
        assert self.contents() == before

    def contents(self) -> list[Any]:
        with self.store.read() as session:
            return [sorted(map(repr, session.execute(sa.select(table)))) for table in (Job.__table__, Tenant.__table__)]

    def act(self, claim: Claim, action: str, step: int, seconds: float) -> Any:
        """Have the worker that holds, or held, the claim do this; what it writes is told apart by its number."""
        self.serial += 1
        values = {"loss": float(self.serial)}
        progress, metrics = Progress(step, step // 10, values, seconds), [Metric(step, step // 10, values)]
        match action.split():
            case ["look"]:
                return claims.look(self.store, claim, 2)
            case ["renew"]:
                return claims.renew(self.store, claim, LEASE_SECONDS)
            case ["note"]:
                return claims.note(self.store, claim, "note", {"seconds": 1})
            case ["record"]:
                return claims.record(self.store, claim, progress, metrics)
            case ["save"]:
                return checkpoints.save(self.store, claim, step, step // 10, f"state {self.serial}".encode())
            case ["rewind"]:
                return claims.rewind(self.store, claim, step, step // 10)
            case ["release"]:
                return claims.release(self.store, claim, progress, metrics)
            case ["finish", outcome]:
                made = [
                    NewSnapshot(at, 0, best=at == step, last=at != step, digest="", bytes=0, values={}, blob_id=f"blob_{self.serial}")
                    for at in (step, step + 1)
                ]
                reason = ("internal", "It broke.") if outcome == "failed" else None
                return claims.finish(self.store, claim, Ending(Outcome(outcome), made, reason), progress, metrics)
        raise AssertionError(action)


DATASET = sa.text(
    "INSERT INTO dataset (id, tenant_id, digest, rows, bytes, columns, header, blob_id, created_at)"
    " VALUES (:id, :tenant_id, '', 0, 0, '[]', '{}', 'blob_none', 0)"
)


@pytest.mark.timeout(7200)
def test_no_order_of_events_breaks_the_protocol(store_url, clock, empty):
    store = Store(store_url, clock=clock)
    if store.is_sqlite:  # no power cut is simulated here
        sa.event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    machine = type("Protocol", (Protocol,), {"store": store, "clock": clock, "empty": staticmethod(empty)})
    settings = hypothesis.settings(
        max_examples=hypothesis.settings().max_examples // (1 if store.is_sqlite else 2),  # Postgres takes twice as long
        stateful_step_count=60,
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=settings)
    store.close()
