"""How many reports a training may make between the ends of its epochs."""

from __future__ import annotations

from nncore.faults import Faults
from nncore.network import NetworkSpec
from nncore.spec.resolved import Sizes
from nncore.spec.training import TrainingSpec

MOST_REPORTS = 10_000
MOST_LAYERS_TOLD = 200_000  # in all reports together, where each tells of every layer


def most_reports(network: NetworkSpec, diagnostics: bool) -> int:
    """Every report is kept with the job, so there is an end to them."""
    return min(MOST_REPORTS, MOST_LAYERS_TOLD // max(1, len(list(network.every_layer())))) if diagnostics else MOST_REPORTS


def check_reports(spec: TrainingSpec, sizes: Sizes, faults: Faults) -> None:
    """Refuse more than that."""
    every, most = spec.report_every_steps, most_reports(spec.network, spec.diagnostics)
    if every is not None and (reports := sizes.steps // every) > most:
        fewest = sizes.steps // (most + 1) + 1
        told = " that tell of every layer" if most < MOST_REPORTS else ""
        message = (
            f"{sizes.steps:,} steps with a report every {every:,} make {reports:,} reports{told}, expected at most {most:,}; "
            f"set report_every_steps to {fewest:,} or more"
        )
        faults.add("/report_every_steps", "too_many_reports", message, expected=f"at least {fewest:,}", got=f"{every:,}")
