"""A lease is held by this process's own clock, and is not renewed for a job that stands still."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from service.settings import Settings
from service.store import claims
from service.store.clock import since_boot
from service.store.database import Store
from service.store.errors import LostClaim, StoreBusy
from service.store.states import State
from worker.lease import Heartbeat, Lease

CLAIM = claims.Claim("job_1", 1, "default", "ds_1", {}, 0, 1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, lease_seconds=10, stall_seconds=5)


@pytest.fixture
def renewed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The renewals that reached the store."""
    calls: list[float] = []
    monkeypatch.setattr(claims, "renew", lambda store, claim, seconds: calls.append(seconds) or State.RUNNING)
    return calls


def test_a_lease_lapses_by_itself(settings: Settings) -> None:
    assert Lease(CLAIM, since_boot(), settings).held
    assert not Lease(CLAIM, since_boot() - 10.1, settings).held


def test_a_renewal_counts_from_before_it_was_sent(settings: Settings, renewed: list[float]) -> None:
    lease = Lease(CLAIM, since_boot() - 9.9, settings)
    lease.moved()
    lease.renew(None)  # type: ignore[arg-type]
    assert renewed == [10]
    assert lease.held


def test_a_job_that_stands_still_is_not_renewed(settings: Settings, renewed: list[float]) -> None:
    lease = Lease(CLAIM, since_boot() - 5.1, settings)
    lease.renew(None)  # type: ignore[arg-type]
    assert renewed == []
    lease.moved()
    lease.renew(None)  # type: ignore[arg-type]
    assert renewed == [10]


def test_a_lost_claim_ends_the_lease_for_good(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: Store, claim: claims.Claim, seconds: float) -> State:
        raise LostClaim(claim.job_id)

    monkeypatch.setattr(claims, "renew", refuse)
    lease = Lease(CLAIM, since_boot(), settings)
    lease.renew(None)  # type: ignore[arg-type]
    assert not lease.held
    lease.moved()
    assert not lease.held


def test_a_database_out_of_reach_leaves_the_lease_until_it_lapses(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: Store, claim: claims.Claim, seconds: float) -> State:
        raise StoreBusy("out of reach")

    monkeypatch.setattr(claims, "renew", fail)
    lease = Lease(CLAIM, since_boot() - 9.7, settings)
    lease.moved()
    with pytest.raises(StoreBusy):
        lease.renew(None)  # type: ignore[arg-type]
    assert lease.held
    lease._until -= 0.5
    assert not lease.held


def test_a_slice_that_hangs_is_killed_when_its_lease_has_long_lapsed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []

    def kill(pid: int, signal: int) -> None:
        killed.append((pid, signal))
        heartbeat.end()

    monkeypatch.setattr("worker.lease.os.kill", kill)
    monkeypatch.setattr("worker.lease.workers.beat", lambda *_: None)
    heartbeat = Heartbeat(None, "worker_1", settings.model_copy(update={"heartbeat_seconds": 0.01}))  # type: ignore[arg-type]
    heartbeat.lease = Lease(CLAIM, since_boot() - 11, settings)
    heartbeat.start()
    heartbeat.join(5)
    assert killed == [(os.getpid(), signal.SIGKILL)]


def test_a_lease_is_renewed_while_kernels_compile_and_judged_by_progress_again_after(settings: Settings, renewed: list[float]) -> None:
    lease = Lease(CLAIM, since_boot() - 5.1, settings)
    with lease.patient():
        lease.renew(None)  # type: ignore[arg-type]
    assert renewed == [10]
    assert lease._stall_seconds == settings.stall_seconds
