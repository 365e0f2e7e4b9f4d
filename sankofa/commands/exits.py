"""Exit codes of the `sankofa` command: what a script can tell apart."""

from __future__ import annotations

from enum import IntEnum

from sankofa.errors import InstallationFault, InvalidInput, JobCancelled, Refused, SankofaError, Unreachable, WaitTimeout


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_RUNNING = 5
    CANCELLED = 7
    STOPPED = 8
    TIMED_OUT = 124
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done; a job that was waited for succeeded",
    Exit.FAILED: "the job failed; the demo did not learn; audit --strict found an error",
    Exit.USAGE: "the command, or a file or value given, cannot be understood or used",
    Exit.UNREACHABLE: "the service does not answer",
    Exit.REFUSED: "the service refused; its reason is on stderr",
    Exit.NOT_RUNNING: "the service cannot be started, kept running or copied here",
    Exit.CANCELLED: "the job was cancelled",
    Exit.STOPPED: "the job was stopped; what it had learned is kept",
    Exit.TIMED_OUT: "--timeout is over; the job goes on",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM before it was done",
}

TABLE = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


def end_of(state: str) -> Exit:
    """The exit code that tells of a job's end state, and of one that has not ended nothing."""
    return {"failed": Exit.FAILED, "cancelled": Exit.CANCELLED, "stopped": Exit.STOPPED}.get(state, Exit.DONE)


def exit_code(error: SankofaError) -> Exit:
    """The exit code that tells of `error`."""
    for kind, code in (
        (JobCancelled, Exit.CANCELLED),
        (InvalidInput, Exit.USAGE),
        (Unreachable, Exit.UNREACHABLE),
        (Refused, Exit.REFUSED),
        (InstallationFault, Exit.NOT_RUNNING),
        (WaitTimeout, Exit.TIMED_OUT),
    ):
        if isinstance(error, kind):
            return code
    return Exit.FAILED
