"""How large a job may be. A spec beyond a limit is refused from computed sizes, before any memory is taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one job. max_memory_bytes: of the plan (see Sizes.memory_bytes), not of the process."""

    max_layers: int = 500
    max_parameters: int = 100_000_000
    max_memory_bytes: int = 8 * 2**30
    max_epochs: int = 10_000_000
    max_steps: int = 10_000_000_000
