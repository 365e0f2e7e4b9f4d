"""What must be done once before the processes of an installation can start: the database's schema, and the compiled kernels."""

from __future__ import annotations

import contextlib
import json

from sankofa.display import Steps
from sankofa.installation import Installation
from sankofa.process import run_to_end


def migrate(installation: Installation, steps: Steps) -> None:
    """Make or upgrade the database, and the first API key. Raises InstallationFault."""
    with steps.step("prepare the database"):
        run_to_end(installation.part("migrate"), _ignore)


def compile_kernels(installation: Installation, steps: Steps) -> None:
    """Compile the kernels, or see that they are compiled already. Raises InstallationFault."""
    with steps.step("compile the kernels, once") as step:
        step.note = "done before"

        def on_line(name: str, line: str) -> None:
            # One JSON object a line; what else the process says, a warning for instance, is kept for its failure's message.
            with contextlib.suppress(ValueError, TypeError, KeyError):
                progress = json.loads(line)
                step.bar.show(progress["done"] / progress["total"], f"{progress['done']} of {progress['total']}")
                step.note = f"{progress['total']} of them"

        run_to_end(installation.part("warm"), on_line)


def _ignore(name: str, line: str) -> None:
    pass
