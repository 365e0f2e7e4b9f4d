"""What a user asks for: a training spec, and the resolved spec it becomes once the data is known.

training.py   TrainingSpec: what may be written, and the defaults
limits.py     Limits: how large a job may be
resolved.py   ResolvedSpec: every default written in, sizes computed
resolve.py    from the one to the other, or all faults at once; its parts are columns.py, loss.py and sizes.py
reading.py    read_spec: as much of a spec as can be read, with the faults of the rest
wording.py    faults_of: pydantic's errors in plain words; place.py: where they point
"""

from nncore.spec.limits import Limits
from nncore.spec.reading import read_spec
from nncore.spec.resolve import OF_THE_DATA, resolve
from nncore.spec.resolved import ResolvedSpec, ResolvedValidation, Sizes
from nncore.spec.training import EarlyStopping, TrainingSpec, ValidationSpec
from nncore.spec.wording import faults_of

__all__ = [
    "OF_THE_DATA",
    "EarlyStopping",
    "Limits",
    "ResolvedSpec",
    "ResolvedValidation",
    "Sizes",
    "TrainingSpec",
    "ValidationSpec",
    "faults_of",
    "read_spec",
    "resolve",
]
