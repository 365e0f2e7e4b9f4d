"""Checkpoints: what a job continues from, bit for bit. The newest two are kept, and older ones ever further apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from service.store import blobs
from service.store.claims import Claim
from service.store.database import Store
from service.store.errors import LostClaim
from service.store.models import Checkpoint, Job, JobFile, Snapshot
from service.store.states import OWNED, TERMINAL, State


def save(store: Store, claim: Claim, step: int, epoch: int, data: bytes, between: Callable[[], object] = bool) -> None:
    """Write a checkpoint. A job that has one newer than before is no longer counted as lost. Raises LostClaim.

    between: as in `blobs.write`.
    """
    blob_id = blobs.write(store, [data], between)
    with store.write() as session:
        owned = sa.and_(Job.id == claim.job_id, Job.fence == claim.fence, Job.state.in_(OWNED))
        not_newer = sa.exists().where(Checkpoint.job_id == claim.job_id, Checkpoint.step >= step)
        losses = sa.case((not_newer, Job.losses), else_=0)
        if session.scalar(sa.update(Job).where(owned).values(losses=losses).returning(Job.id)) is None:
            raise LostClaim(claim.job_id)
        held = {row.step: row.blob_id for row in session.scalars(sa.select(Checkpoint).where(Checkpoint.job_id == claim.job_id))}
        kept = steps_to_keep([*held, step]) - {step}
        removed = {at: blob for at, blob in held.items() if at not in kept}
        session.execute(sa.delete(Checkpoint).where(Checkpoint.job_id == claim.job_id, Checkpoint.step.in_(removed)))
        session.add(
            Checkpoint(
                job_id=claim.job_id,
                step=step,
                epoch=epoch,
                digest=hashlib.sha256(data).hexdigest(),
                bytes=len(data),
                blob_id=blob_id,
                created_at=store.now(session),
            )
        )
    blobs.remove(store, removed.values())


def newest(store: Store, job_id: str, until: int | None = None) -> tuple[int, int, bytes] | None:
    """(step, epoch, bytes) of the newest checkpoint whose bytes are whole, not beyond the step `until`; or None."""
    kept = sa.select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc())
    with store.read() as session:  # one moment: a worker that saves meanwhile may delete what was the newest
        for row in session.scalars(kept if until is None else kept.where(Checkpoint.step <= until)).all():
            data = blobs.read_whole(session, row.blob_id)
            if hashlib.sha256(data).hexdigest() == row.digest:
                return row.step, row.epoch, data
    return None


def steps(store: Store, job_id: str) -> Sequence[int]:
    """Where the job has checkpoints, ascending."""
    with store.read() as session:
        return session.scalars(sa.select(Checkpoint.step).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step)).all()


def steps_to_keep(steps: Iterable[int]) -> set[int]:
    """The newest two of `steps`, and the first one of every power of two."""
    ordered = sorted(set(steps))
    first_of_power = {step.bit_length(): step for step in reversed(ordered)}
    return {*ordered[-2:], *first_of_power.values()}


def remove_old(store: Store, age_seconds: float) -> None:
    """Delete checkpoints of jobs that ended before `age_seconds`, but for the newest where it is all that a stopped job left behind."""
    with store.write() as session:
        ended = sa.select(Job.id).where(Job.state.in_(TERMINAL), Job.finished_at < store.now(session) - age_seconds)
        gone = sa.delete(Checkpoint).where(Checkpoint.job_id.in_(ended), dispensable()).returning(Checkpoint.blob_id)
        removed = session.scalars(gone).all()
    blobs.remove(store, removed)


def dispensable() -> sa.ColumnElement[bool]:
    """Whether an ended job keeps what it has learned without this checkpoint: in its snapshots or files, in a newer one, or not at all."""
    newer, its_job = aliased(Checkpoint), aliased(Job)
    return sa.or_(
        sa.exists().where(Snapshot.job_id == Checkpoint.job_id),
        sa.exists().where(JobFile.job_id == Checkpoint.job_id),
        sa.exists().where(its_job.id == Checkpoint.job_id, its_job.state.in_((State.CANCELLED, State.FAILED))),
        sa.exists().where(newer.job_id == Checkpoint.job_id, newer.step > Checkpoint.step),
    )
