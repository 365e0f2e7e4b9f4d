"""What nncore raises. Refusals carry faults, each with a JSON pointer to what is wrong.

    NncoreError
    |-- InvalidSpec          a training spec or a network that cannot be trained or evaluated (all its faults at once)
    |-- InvalidData          a table, or the inputs of a prediction, that the spec cannot use (all faults at once)
    |-- InvalidFile          bytes that are not a file of ours
    |-- CheckpointMismatch   a state that belongs to another spec, or is incomplete
    `-- Diverged             training left the finite numbers; the last finite parameters survive

Nothing else is raised on purpose: any other exception is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and where.

    pointer: a JSON pointer into what was sent ("" is the whole of it). code: snake_case, for programs.
    message: for people; it names the thing, what was expected, what was got, and what to do.
    """

    pointer: str
    code: str
    message: str
    expected: str | None = None
    got: str | None = None

    def under(self, prefix: str) -> Fault:
        """The same fault, seen from further out: `prefix` (a JSON pointer) goes in front of its pointer."""
        return replace(self, pointer=prefix + self.pointer)


class NncoreError(Exception):
    """Anything that nncore refuses or cannot do."""


class _Faulty(NncoreError):
    def __init__(self, faults: Fault | Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or '(whole)'}: {fault.message}" for fault in self.faults))

    def __reduce__(self) -> tuple[type[_Faulty], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class InvalidSpec(_Faulty):
    """The definition cannot be trained or evaluated; `faults` says everything that is wrong with it."""


class InvalidData(_Faulty):
    """The data cannot be used; `faults` says everything that is wrong with it."""


class InvalidFile(NncoreError):
    """The bytes are not a file that nncore wrote, or not a whole one."""


class CheckpointMismatch(NncoreError):
    """The state belongs to another spec or other data, or lacks something."""


class Diverged(NncoreError):
    """Training left the finite numbers at `step` (counted from 0) of `epoch` (counted from 0).

    what: "loss", "gradient" or "validation loss". The update of that step was not applied.
    """

    def __init__(self, step: int, epoch: int, what: str) -> None:
        self.step, self.epoch, self.what = step, epoch, what
        super().__init__(
            f"Training diverged in epoch {epoch + 1}, after {step} steps: the {what} is not a finite number. "
            "Lower the learning rate, or standardize the inputs."
        )

    def __reduce__(self) -> tuple[type[Diverged], tuple[int, int, str]]:
        return type(self), (self.step, self.epoch, self.what)
