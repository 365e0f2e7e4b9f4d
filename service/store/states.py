"""The states of a job and every way between them.

queued -> running -> queued (end of a turn, or reaped) | succeeded | failed
queued -> paused; running -> pausing -> paused -> queued; resume while pausing -> running
queued | paused -> stopped; running | pausing -> stopping -> stopped
queued | paused -> cancelled; running | pausing | stopping -> cancelling -> cancelled
queued | paused | running -> failed, at the job's deadline
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # a worker trains it
    PAUSING = "pausing"  # a worker trains it and has been asked to pause
    PAUSED = "paused"  # waits until it is resumed
    STOPPING = "stopping"  # a worker trains it and has been asked to stop and keep the best so far
    STOPPED = "stopped"  # ended by request, what was learned is usable
    CANCELLING = "cancelling"  # a worker trains it and has been asked to drop it
    CANCELLED = "cancelled"  # ended by request, nothing is kept
    SUCCEEDED = "succeeded"  # all steps done
    FAILED = "failed"  # ended for the reason it names


class Action(StrEnum):
    """What a user may ask of a job."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CANCEL = "cancel"


class Outcome(StrEnum):
    """How a worker says that it is done with a job."""

    SUCCEEDED = "succeeded"  # all steps done
    FAILED = "failed"  # cannot go on
    STOPPED = "stopped"  # was asked to stop, and steps are left
    CANCELLED = "cancelled"  # was asked to cancel


Q, R, PG, PD, SG, CG = State.QUEUED, State.RUNNING, State.PAUSING, State.PAUSED, State.STOPPING, State.CANCELLING

TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.STOPPED, State.CANCELLED})
OWNED = frozenset({R, PG, SG, CG})  # a worker holds a lease

# What a request makes of a state. A state that is missing refuses the action, unless its aim is already reached.
REQUESTED: Mapping[Action, Mapping[State, State]] = {
    Action.PAUSE: {Q: PD, R: PG},
    Action.RESUME: {PD: Q, PG: R},
    Action.STOP: {Q: State.STOPPED, PD: State.STOPPED, R: SG, PG: SG},
    Action.CANCEL: {Q: State.CANCELLED, PD: State.CANCELLED, R: CG, PG: CG, SG: CG},
}

# Asking again for what is under way or done changes nothing and is no error.
REACHED: Mapping[Action, frozenset[State]] = {
    Action.PAUSE: frozenset({PG, PD}),
    Action.RESUME: frozenset({Q, R}),
    Action.STOP: frozenset({SG, State.STOPPED}),
    Action.CANCEL: frozenset({CG, State.CANCELLED}),
}

# What the owner's release (end of its slice) makes of a state.
RELEASED: Mapping[State, State] = {R: Q, PG: PD, SG: State.STOPPED, CG: State.CANCELLED}

# What the reaper makes of a state whose lease has expired.
REAPED: Mapping[State, State] = RELEASED

# What a deadline makes of a state without an owner; an owner looks at it by itself, and fails.
OVERDUE: Mapping[State, State] = {Q: State.FAILED, PD: State.FAILED}

# What the owner's finish makes of a state. Work that is done is not lost to a request that came late; a cancel is honoured.
FINISHED: Mapping[Outcome, Mapping[State, State]] = {
    Outcome.SUCCEEDED: {R: State.SUCCEEDED, PG: State.SUCCEEDED, SG: State.SUCCEEDED, CG: State.CANCELLED},
    Outcome.FAILED: {R: State.FAILED, PG: State.FAILED, SG: State.FAILED, CG: State.CANCELLED},
    Outcome.STOPPED: {SG: State.STOPPED, CG: State.CANCELLED},
    Outcome.CANCELLED: {CG: State.CANCELLED},
}


def allowed_actions(state: State) -> list[Action]:
    """The actions that would change a job in `state`."""
    return [action for action, changes in REQUESTED.items() if state in changes]
