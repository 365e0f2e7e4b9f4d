"""Columns as JSON carries them, out of whatever holds them: lists, arrays, frames of pandas and polars."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from sankofa.errors import InvalidInput

ALLOW = 'fill it in, leave the row out, or allow it: missing="allow"'
NO_VALUES = frozenset({"NAType", "NaTType"})
"""What pandas calls its own missing values."""


def is_frame(table: Any) -> bool:
    """Whether it is a frame of pandas or polars, lazy or not, or of anything else with named columns."""
    return is_lazy(table) or (hasattr(table, "columns") and hasattr(table, "__getitem__") and not isinstance(table, Mapping))


def is_lazy(table: Any) -> bool:
    """Whether it is a frame of polars that is still to be collected; asked for its columns it would warn."""
    return hasattr(type(table), "collect") and hasattr(type(table), "collect_schema")


def is_array(values: Any) -> bool:
    """Whether it is an array of numbers, booleans or texts, with rows, as NumPy's own file holds it."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    return kind in tuple("biufU") and bool(getattr(values, "ndim", 0)) and not is_series(values)


def is_series(values: Any) -> bool:
    """Whether it is a column of a frame: its dtype need not be one of NumPy's."""
    return hasattr(values, "to_numpy") and not is_frame(values)


def of_frame(frame: Any) -> dict[str, Any]:
    """The columns of a frame by name: arrays of numbers, or lists. A lazy one is collected. Raises InvalidInput for a doubled name."""
    if is_lazy(frame):
        frame = frame.collect()
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise InvalidInput(f"column {name!r}: expected names that differ, got this one {times} times in the frame; rename the columns")
    return {str(name): of_series(frame[name]) for name in frame.columns}


def of_series(series: Any) -> Any:
    """The values of a frame's column: an array of numbers, or a list."""
    values = series.to_numpy()
    return values if is_array(values) else series.to_list()


def of_array(values: Any) -> Any:
    """The values of an array; where a mask hides some, numbers with NaN in their places, or a list with None there."""
    if not hasattr(values, "mask") or not hasattr(values, "filled"):
        return values
    if not values.mask.any():
        return values.data
    if values.dtype.kind not in "biuf":
        return values.tolist()
    return (values if values.dtype.kind == "f" else values.astype(float)).filled(float("nan"))


def told(values: Any) -> str:
    """What was got instead of a table or a column, in words: of an array what is wrong with it."""
    if isinstance(values, list):
        return "a list"
    if (dtype := getattr(values, "dtype", None)) is None:
        return type(values).__name__
    if not getattr(values, "ndim", 1):
        return f"an array without rows, of shape () and dtype {dtype}; give it one: array.reshape(1)"
    if getattr(dtype, "names", None):
        return f"a structured array of dtype {dtype}; send its fields as columns: {{name: array[name] for name in array.dtype.names}}"
    return f"an array of dtype {dtype}; make it one of numbers, booleans or texts: array.astype(...)"


def column_list(name: str, values: Any, *, may_miss: bool = False, remedy: str = "") -> list[Any]:
    """The values of a column as a list that JSON can carry.

    may_miss: whether NaN, None and pandas' NA become null; else NaN and NA are refused, and None is left to the service.
    remedy: what to do where one is refused. Raises InvalidInput naming column and row.
    """
    if getattr(getattr(values, "dtype", None), "names", None) or getattr(values, "ndim", 1) == 0:
        raise InvalidInput(f"column {name!r}: expected a list or an array, got {told(values)}")
    listed = values.tolist() if hasattr(values, "tolist") else values.to_list() if hasattr(values, "to_list") else values
    if not isinstance(listed, Sequence) or isinstance(listed, str | bytes):
        raise InvalidInput(f"column {name!r}: expected a list or an array, got {type(values).__name__}")
    try:
        json.dumps(listed, allow_nan=False)
        return list(listed)
    except (TypeError, ValueError, RecursionError):
        return [_cell(value, name, row, may_miss, remedy) for row, value in enumerate(listed, 1)]


def _cell(value: Any, name: str, row: int, may_miss: bool, remedy: str, depth: int = 0) -> Any:
    """A value, or the values in it, as JSON takes them."""
    place = f"column {name!r}, row {row:,}"
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, list | tuple):
        if depth > 20:
            raise InvalidInput(f"{place}: expected a number, a text, or lists of numbers, got lists nested too deep")
        return [_cell(each, name, row, may_miss, remedy, depth + 1) for each in value]
    if type(value).__name__ in NO_VALUES or (isinstance(value, float) and value != value):
        if may_miss:
            return None
        raise InvalidInput(f"{place}: expected a number or a text, got {value}, a missing value" + (f"; {remedy}" if remedy else ""))
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    got = f"{value}" if isinstance(value, float) else type(value).__name__
    raise InvalidInput(f"{place}: expected a finite number or a text, got {got}; make it one")
