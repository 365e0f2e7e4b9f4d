"""A store whose clock the test moves, and jobs, claims and workers to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from service.store import blobs, claims, datasets, jobs, workers
from service.store.claims import Claim, Ending, NewSnapshot, Progress
from service.store.database import Store
from service.store.datasets import NewDataset
from service.store.jobs import NewJob
from service.store.models import Base, BlobChunk, Job, JobEvent, Tenant
from service.store.states import Action, Outcome, State
from service.store.workers import Process

LEASE_SECONDS = 30.0
START = 1_000_000.0


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.seconds = START

    def __call__(self) -> float:
        return self.seconds

    def step(self, seconds: float) -> None:
        """Let `seconds` pass; negative: somebody set the clock back."""
        self.seconds += seconds


class Scene:
    """A store with what a test needs in it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._datasets: dict[str, str] = {}

    def tenant(self, tenant_id: str) -> str:
        """Add a tenant."""
        with self.store.write() as session:
            session.add(Tenant(id=tenant_id, name=tenant_id, created_at=0.0))
        return tenant_id

    def dataset(self, tenant_id: str = "default") -> str:
        """The tenant's dataset, made on the first call."""
        if tenant_id not in self._datasets:
            new = NewDataset(tenant_id, "xor", "sha256:0", rows=4, bytes=48, columns=[], header={}, blob_id="blob_none")
            self._datasets[tenant_id] = datasets.create(self.store, new, answer=lambda _: b"").id
        return self._datasets[tenant_id]

    def new_job(self, tenant_id: str = "default", **fields: Any) -> NewJob:
        """A job of 100 steps, not yet created."""
        return NewJob(**{"tenant_id": tenant_id, "dataset_id": self.dataset(tenant_id), "spec": {}, "steps": 100, "epochs": 10, **fields})

    def job(self, tenant_id: str = "default", **fields: Any) -> str:
        """Queue a job of 100 steps; answer its id."""
        return jobs.create(self.store, self.new_job(tenant_id, **fields), answer=lambda _: b"{}").id

    def claim(self, worker_id: str = "worker_1", fingerprint: str = "cpu") -> Claim:
        """Claim the next job, which there must be."""
        claim = claims.claim(self.store, worker_id, fingerprint, LEASE_SECONDS)
        assert claim is not None
        return claim

    def job_in(self, state: State) -> tuple[str, Claim | None]:
        """The only job, brought into `state` by the store's own functions, and the claim of its owner if it has one."""
        job_id = self.job()
        asked = {
            State.PAUSED: Action.PAUSE,
            State.PAUSING: Action.PAUSE,
            State.STOPPED: Action.STOP,
            State.STOPPING: Action.STOP,
            State.CANCELLED: Action.CANCEL,
            State.CANCELLING: Action.CANCEL,
        }
        claim = None
        if state not in (State.QUEUED, State.PAUSED, State.STOPPED, State.CANCELLED):
            claim = self.claim()
        if state in asked:
            jobs.request(self.store, "default", job_id, asked[state])
        if state in (State.SUCCEEDED, State.FAILED):
            assert claim is not None
            claims.finish(self.store, claim, Ending(Outcome(state)), self.progress(1))
        assert self.row(job_id).state == state
        return job_id, claim

    @staticmethod
    def progress(step: int, seconds: float = 0.0) -> Progress:
        """Progress to `step`, ten steps an epoch."""
        return Progress(step, step // 10, {"loss": 1.0 / (1 + step)}, seconds)

    def record_seconds(self, claim: Claim, seconds: float) -> None:
        """Record that the claim's job was trained for `seconds` more."""
        claims.record(self.store, claim, self.progress(self.row(claim.job_id).step + 1, seconds))

    def request(self, job_id: str, action: str, tenant_id: str = "default") -> bool:
        """Ask for an action."""
        return jobs.request(self.store, tenant_id, job_id, Action(action))

    def finish_with_snapshot(self, claim: Claim, outcome: Outcome = Outcome.SUCCEEDED) -> str:
        """Finish the claim's job with one snapshot; answer the id of its blob."""
        blob_id = blobs.write(self.store, [b"weights"])
        snapshot = NewSnapshot(100, 10, best=True, last=True, digest="sha256:0", bytes=7, values={"loss": 0.1}, blob_id=blob_id)
        claims.finish(self.store, claim, Ending(outcome, [snapshot]), self.progress(100))
        return blob_id

    def row(self, job_id: str) -> Job:
        """The job's row."""
        with self.store.read() as session:
            return session.get_one(Job, job_id)

    def events(self, job_id: str) -> list[JobEvent]:
        """The job's events in their order."""
        with self.store.read() as session:
            return list(session.scalars(sa.select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)))

    def register(self, pid: int, fingerprint: str = "cpu") -> str:
        """Register a worker process of this machine that started at tick 1."""
        return workers.register(self.store, Process(pid, 1), fingerprint)

    def contents(self) -> dict[str, list[Any]]:
        """Everything in the database but the chunks of blobs, for comparing."""
        with self.store.read() as session:
            tables = [table for table in Base.metadata.sorted_tables if table is not BlobChunk.__table__]
            return {table.name: sorted(map(repr, session.execute(sa.select(table)))) for table in tables}

    def blob_ids(self) -> set[str]:
        """The blobs of which there are bytes."""
        with self.store.read() as session:
            return set(session.scalars(sa.select(BlobChunk.blob_id)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scene_on(clock: Clock) -> Iterator[Callable[[str], Scene]]:
    """Opens the store at a URL, with a clock that the test moves."""
    opened: list[Store] = []

    def open_scene(url: str) -> Scene:
        opened.append(Store(url, clock=clock))
        return Scene(opened[-1], clock)

    yield open_scene
    for store in opened:
        store.close()


@pytest.fixture
def scene(store_url: str, scene_on: Callable[[str], Scene]) -> Scene:
    """An empty store with a clock that the test moves, on SQLite and on Postgres."""
    return scene_on(store_url)


@pytest.fixture
def another_store(store_url: str) -> Iterator[Callable[[], Store]]:
    """Opens further stores on the same database, each with connections of its own, as other processes do."""
    opened: list[Store] = []

    def open_store() -> Store:
        opened.append(Store(store_url))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()
