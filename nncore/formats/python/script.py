"""A script under construction: lines of its function `forward`, the arrays they name, and the functions they call.

Functions are real ones of this package (reading.py, features.py, activations.py, computations.py), tested here as they run there; their
source is written out, with that of whatever they call themselves. Texts that a user chose stand in a script only as literals.
"""

from __future__ import annotations

import ast
import base64
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType

import numpy as np

from nncore.formats.parameters import Parameters
from nncore.formats.python import activations, computations, features, reading
from nncore.machine.kernels import Array

READABLE_NUMBERS = 64
"""Arrays up to this size are written as lists of numbers, larger ones, and NaN, as base64."""

BASE64_CHARACTERS = 120  # a line
DECODE = reading.decoded.__name__


def _functions(*modules: ModuleType) -> dict[str, FunctionType]:
    """What may be written into a script, in the order of the files."""
    return {
        name: each
        for module in modules
        for name, each in vars(module).items()
        if isinstance(each, FunctionType) and each.__module__ == module.__name__
    }


FUNCTIONS = _functions(reading, features, activations, computations)


class Script:
    """What rules write into. parameters: handed out to the rules of the layers."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.lines: list[str] = []
        self._arrays: dict[str, Array] = {}
        self._kept = 0
        self.mask: str | None = None
        """Of a sequence, the variable (rows, steps) that is false where a step is padding; None if all count."""

    def line(self, statement: str, shape: tuple[int, ...] | None = None) -> None:
        """Append a statement. shape: of an item of x after it, for the reader."""
        comment = "" if shape is None else f"  # {('rows', *shape)}".replace("'", "")
        self.lines.append(statement + comment)

    def keep(self, name: str, expression: str) -> str:
        """The name of a new variable, `name` and a number, with the value of an expression."""
        self._kept += 1
        self.line(f"{name}_{self._kept} = {expression}")
        return f"{name}_{self._kept}"

    def take(self, ending: str) -> str:
        """The expression of the next parameter whose name ends so."""
        return self.array(*self.parameters.take(ending))

    def array(self, name: str, values: Array) -> str:
        """The expression of an array, which is written out with the script."""
        self._arrays[name] = values
        return f'ARRAYS["{name}"]'

    def arrays(self) -> Iterator[str]:
        """The lines of the arrays, at the end of the script, where they hide nothing."""
        for name, values in self._arrays.items():
            if values.size <= READABLE_NUMBERS and np.isfinite(values).all():
                yield f'ARRAYS["{name}"] = np.array({_shortest(values).tolist()}, dtype="{values.dtype}")'
            else:
                raw = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
                text = "\n".join(textwrap.wrap(base64.b64encode(raw).decode(), BASE64_CHARACTERS))
                yield f'ARRAYS["{name}"] = {DECODE}({values.shape}, "{values.dtype}", """\n{text}\n""")'


def _shortest(values: Array) -> Array:
    """float64 that print as briefly as `values` do."""
    return values if values.dtype == np.float64 else values.astype(str).astype(np.float64)


def sources(text: str) -> list[str]:
    """The source of every function that `text` calls or names, and of those that these call."""
    wanted, waiting = set(), names_in(text) & FUNCTIONS.keys()
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting |= (names_in(inspect.getsource(FUNCTIONS[name])) & FUNCTIONS.keys()) - wanted
    return [inspect.getsource(FUNCTIONS[name]).rstrip() for name in FUNCTIONS if name in wanted]


def names_in(text: str) -> set[str]:
    """The variables, functions and modules that a text of Python names."""
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
