"""Exit codes of the `sankofa` command: what a script can tell apart."""

from __future__ import annotations

from enum import IntEnum

from sankofa.errors import InstallationFault, InvalidInput, JobUnsuccessful, Refused, SankofaError, Unreachable, WaitTimeout


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    UNSUCCESSFUL = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_RUNNING = 5
    TIMED_OUT = 6
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done; of a job waited for: it succeeded or was stopped",
    Exit.UNSUCCESSFUL: "the job failed or was cancelled; the demo did not learn",
    Exit.USAGE: "the command cannot be understood, or a file or value given cannot be used",
    Exit.UNREACHABLE: "the service does not answer",
    Exit.REFUSED: "the service refused; its reason is on stderr",
    Exit.NOT_RUNNING: "the service cannot be started here, or could not be kept running",
    Exit.TIMED_OUT: "--timeout is over; the job goes on",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM before it was done",
}

TABLE = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


def exit_code(error: SankofaError) -> Exit:
    """The exit code that tells of `error`."""
    for kind, code in (
        (JobUnsuccessful, Exit.UNSUCCESSFUL),
        (InvalidInput, Exit.USAGE),
        (Unreachable, Exit.UNREACHABLE),
        (Refused, Exit.REFUSED),
        (InstallationFault, Exit.NOT_RUNNING),
        (WaitTimeout, Exit.TIMED_OUT),
    ):
        if isinstance(error, kind):
            return code
    return Exit.UNSUCCESSFUL
