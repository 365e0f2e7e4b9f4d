"""What must be done once before the processes of an installation can start: the database's schema, and the compiled kernels."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

from sankofa.display import Steps
from sankofa.errors import InstallationFault
from sankofa.installation import Installation
from sankofa.process import run_to_end

COPY_VARIABLE = "SANKOFA_COPY_TO"  # not an argument: those are shown to every user of the machine, and the URL may hold a password
LOADING_SECONDS = 1.0  # what was compiled before is loaded in less


def migrate(installation: Installation, steps: Steps) -> None:
    """Make or upgrade the database, and the first API key; what is waited for meanwhile is said. Raises InstallationFault."""

    def on_line(name: str, line: str) -> None:
        if "waiting for the database" in line:
            steps.say(line)

    with steps.step("prepare the database"):
        run_to_end(installation.part("migrate"), on_line)


def copy(installation: Installation, steps: Steps, url: str, *, with_damaged: bool) -> dict[str, Any]:
    """Copy the database to the one at `url`; what was copied. Raises InstallationFault, and then nothing was."""
    part = installation.part("copy", *(["--with-damaged"] if with_damaged else []))
    copied: dict[str, Any] = {}
    with steps.step("copy the database") as step:

        def on_line(name: str, line: str) -> None:
            with contextlib.suppress(ValueError, TypeError, KeyError):  # a line of the log
                said = json.loads(line)
                if "copied" in said:
                    copied.update(said["copied"])
                    return
                step.bar.show(said["done"] / said["total"], f"{said['done']:,} of {said['total']:,}", title=said["doing"])

        run_to_end(replace(part, environment={**part.environment, COPY_VARIABLE: url}), on_line)
        if not copied:
            raise InstallationFault("copy ended without saying what it has copied")
        step.note = f"{sum(copied['rows'].values()):,} rows, {copied['blobs']:,} blobs of {copied['blob_bytes']:,} bytes, all compared"
    return copied


def compile_kernels(installation: Installation, steps: Steps, *, only_usual: bool = False) -> None:
    """Compile the kernels, or see that they are compiled already. Raises InstallationFault.

    only_usual: those of dense networks; a job that needs others compiles them before its clock starts.
    """
    with steps.step("look for compiled kernels") as step:

        def on_line(name: str, line: str) -> None:
            # One JSON object a line; what else the process says, a warning for instance, is kept for its failure's message.
            with contextlib.suppress(ValueError, TypeError, KeyError):
                progress = json.loads(line)
                if "seconds" in progress:
                    if progress["seconds"] < LOADING_SECONDS:
                        step.title, step.note = "look for compiled kernels", "they are there"
                    return
                step.title = "compile the kernels, once"
                step.bar.show(progress["done"] / progress["total"], f"{progress['done']} of {progress['total']}", title=step.title)
                step.note = f"{progress['total']} of them"

        run_to_end(installation.part("warm", *(["--usual"] if only_usual else [])), on_line)
