"""Questions to a trained network, as data: what may be asked (`Explain`), and the answer, part by part (`explanation`).

`nncore.explain` does the work; here it is cut into parts that do not need each other, so that a long answer can be interrupted and gone on
with, and the same question always gets the same answer.
"""

from nncore.explanation.asked import Explain, ExplainSpec, of_rows
from nncore.explanation.needed import kernels_needed
from nncore.explanation.parts import Parts, Sample, explanation

__all__ = ["Explain", "ExplainSpec", "Parts", "Sample", "explanation", "kernels_needed", "of_rows"]
