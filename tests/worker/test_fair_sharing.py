"""Two tenants, one worker: each gets half of its time, however many jobs it has; a quota holds one back without leaving the worker idle."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nncore.machine.compilation import usual_kernels, warm
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns
from service.settings import Settings
from service.store import blobs, datasets, jobs, tenants
from service.store.database import Store
from service.store.models import Tenant
from service.store.quotas import Quota
from worker.lease import Heartbeat
from worker.turn import Worker, take_turn

ENDLESS: dict[str, Any] = {
    "inputs": ["x"],
    "target": "y",
    "network": {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 1}]},
    "batch_size": 4,
    "epochs": 5_000_000,
    "seed": 7,
}
TURN_SECONDS = 0.15
TURNS = 24


@pytest.fixture(scope="module", autouse=True)
def compiled_kernels() -> None:
    """As in a worker: no turn of these tests is spent on compiling."""
    warm("float32", usual_kernels())


@pytest.fixture
def post(store: Store) -> Callable[[str], str]:
    """Queues a job without an end for a tenant; answers its id."""
    made: dict[str, str] = {}
    table = read_columns({"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]})
    spec = resolve(TrainingSpec.model_validate(ENDLESS), table.info(), table.rows, Limits())

    def dataset(tenant_id: str) -> str:
        with store.write() as session:
            session.merge(Tenant(id=tenant_id, name=tenant_id, created_at=0.0))
        header = table.header()
        columns = [info.model_dump(mode="json") for info in table.info()]
        blob_id = blobs.write(store, table.chunks(1 << 20))
        new = datasets.NewDataset(tenant_id, "xor", table.digest, table.rows, header["bytes"], columns, header, blob_id)
        return datasets.create(store, new, answer=lambda _: b"").id

    def post(tenant_id: str) -> str:
        if tenant_id not in made:
            made[tenant_id] = dataset(tenant_id)
        new = jobs.NewJob(tenant_id, made[tenant_id], spec.model_dump(mode="json"), spec.sizes.steps, spec.epochs)
        return jobs.create(store, new, answer=lambda _: b"").id

    return post


@pytest.fixture
def work(store: Store, tmp_path: Path) -> Callable[[int], None]:
    """Lets one worker take turns."""
    settings = Settings(data_dir=tmp_path, call_seconds=0.01, turn_seconds=TURN_SECONDS)
    settings.make_data_dir()
    worker = Worker(settings, store, "worker_1", "same", Heartbeat(store, "worker_1", settings), lambda: False, lambda: None)

    def turns(count: int) -> None:
        for _ in range(count):
            take_turn(worker)

    return turns


def trained_seconds(store: Store, tenant_id: str) -> float:
    return sum(detail.job.trained_seconds for detail in jobs.page(store, tenant_id, limit=100))


def test_each_tenant_gets_half_of_the_worker_however_many_jobs_it_has(store: Store, post, work) -> None:
    for _ in range(6):
        post("many")
    only = post("one")
    work(TURNS)
    many, one = trained_seconds(store, "many"), trained_seconds(store, "one")
    assert many + one > TURNS * TURN_SECONDS / 4
    assert 0.35 < one / (many + one) < 0.65
    slices = Counter({"many": sum(detail.job.slices for detail in jobs.page(store, "many", limit=100))})
    slices["one"] = jobs.get(store, "one", only).job.slices
    assert abs(slices["many"] - slices["one"]) <= TURNS / 4
    assert all(detail.job.slices for detail in jobs.page(store, "many", limit=100))  # and its own jobs share its half


def test_whoever_comes_later_owes_nothing_for_the_time_before(store: Store, post, work) -> None:
    """The late one is served first until both have had the same; it does not push the other out for good."""
    post("early")
    work(4)
    post("late")
    work(TURNS)
    early, late = trained_seconds(store, "early"), trained_seconds(store, "late")
    assert 0.35 < late / (early + late) < 0.65


def test_what_a_quota_holds_back_leaves_the_worker_to_the_others(store: Store, post, work) -> None:
    held = post("held")
    post("free")
    tenants.change(store, "held", limits={Quota.WORKER_SECONDS_PER_DAY: 0})
    started = time.monotonic()
    work(6)
    assert jobs.get(store, "held", held).job.slices == 0
    assert jobs.get(store, "held", held).held_by == "worker_seconds_per_day"
    assert trained_seconds(store, "free") > (time.monotonic() - started) / 4
