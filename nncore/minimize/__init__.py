"""A minimum, or a maximum, of any differentiable expression of named variables that is given as text.

tokens.py      the text cut into numbers, names and symbols; nothing else passes
parser.py      the closed grammar: tokens in the order in which they are computed, or a refusal with its position
operations.py  every operator and function: its value and its slopes
tape.py        an expression as a list of operations; value and gradient by reverse-mode differentiation
spec.py        MinimizeSpec: what a user may write, with its defaults and limits
update.py      any optimizer of nncore.optimizers on a small vector of float64
path.py        the way that was gone, in a bounded number of points
minimizer.py   Minimizer: steps, reports, a state that continues bit for bit; and `minimize`, which is all of it in one call

No text of a user is ever compiled or evaluated as Python.
"""

from nncore.minimize.minimizer import Minimizer, MinimizeReport, MinimizeResult, StopReason, minimize
from nncore.minimize.parser import Expression, parse
from nncore.minimize.path import PathPoint
from nncore.minimize.spec import MinimizeSpec
from nncore.minimize.tape import Tape

__all__ = [
    "Expression",
    "MinimizeReport",
    "MinimizeResult",
    "MinimizeSpec",
    "Minimizer",
    "PathPoint",
    "StopReason",
    "Tape",
    "minimize",
    "parse",
]
