"""Which columns of the data go in and which is learned, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nncore.faults import Faults, counted, did_you_mean, one_of, pointer, short
from nncore.preprocess import Item, PreprocessSpec
from nncore.spec.training import TrainingSpec
from nncore.table.column import Column, ColumnInfo

LARGEST = {"float32": 3.4e38, "float64": 1e150}
"""The largest number of a column that training in a dtype can take (squares of float64 must stay finite)."""

Reading = Callable[[str], Column] | None
"""Gives the values of a column by its name; None where they cannot be read."""

MOST_WEIGHT = 1e6
"""Of a row, as of a class."""


def input_columns(spec: TrainingSpec, by_name: dict[str, ColumnInfo], faults: Faults) -> list[ColumnInfo]:
    """The columns that go in; without those that cannot. That text needs a step which makes numbers of it is seen later."""
    if spec.inputs is None:
        found = dict.fromkeys(name for name in by_name if name != spec.target)
        if not found:
            faults.add(
                "/inputs", "no_inputs", "the data has no column beside the target; add the columns to learn from", expected="at least one"
            )
    else:
        found = {}
        for position, name in enumerate(spec.inputs):
            if faults.full:
                break
            at = pointer("inputs", position)
            if name in found:
                faults.add(at, "duplicate_input", f"the column {short(name)} stands twice among the inputs; take one out", got=short(name))
            elif name not in by_name:
                add_missing(at, name, by_name, faults)
            elif name == spec.target:
                message = f"the column {short(name)} is the target, so it cannot be an input; take it out of the inputs"
                faults.add(at, "target_among_inputs", message, got=short(name))
            else:
                found[name] = None
    return [by_name[name] for name in found]


def target_column(spec: TrainingSpec, by_name: dict[str, ColumnInfo], column: Reading, faults: Faults) -> ColumnInfo | None:
    if spec.target not in by_name:
        add_missing("/target", spec.target, by_name, faults)
    elif by_name[spec.target].missing:
        refuse_gaps("/target", by_name[spec.target], "a target to learn", column, faults)
    return by_name.get(spec.target)


def check_weight_column(spec: TrainingSpec, by_name: dict[str, ColumnInfo], read: Reading, faults: Faults) -> None:
    """Whether the column of row weights, where one is named, holds a weight for every row."""
    name, at = spec.sample_weight, "/sample_weight"
    if name is None:
        return
    column = by_name.get(name)
    if column is None:
        add_missing(at, name, by_name, faults)
    elif name == spec.target or name in (spec.inputs or ()):
        part = "the target" if name == spec.target else "an input"
        faults.add(at, "weight_among_data", f"the column {short(name)} is {part}, so it cannot hold weights; name another", got=short(name))
    elif column.categories is not None or column.item_shape:
        got = "text" if column.categories is not None else f"items of shape {list(column.item_shape)}"
        message = f"the column {short(name)} holds {got}, but a weight is one number per row; name another column"
        faults.add(at, "not_weights", message, expected="a number per row", got=got)
    elif column.missing:
        refuse_gaps(at, column, "a weight", read, faults)
    else:
        least, most = column.minimum or 0.0, column.maximum or 0.0
        if least < 0 or most > MOST_WEIGHT:
            message = f"the column {short(name)} holds numbers from {least:g} to {most:g}, but weights are from 0 to {MOST_WEIGHT:,.0f}"
            faults.add(at, "weight_out_of_range", message, expected=f"0 to {MOST_WEIGHT:,.0f}", got=f"{least:g} to {most:g}")
        elif most == 0:
            message = f"every weight in the column {short(name)} is 0, so there is nothing to learn; raise one, or leave sample_weight out"
            faults.add(at, "no_row_counts", message, expected="a weight above 0", got="0")


def refuse_gaps(at: str, column: ColumnInfo, wanted: str, read: Reading, faults: Faults) -> None:
    """Adds the fault of a column that misses values which every row has to have; with the first such row, where the column can be read."""
    thing, where = "number" if column.categories is None else "text", ""
    if read is not None:
        values = read(column.name).values
        gaps = values == 0 if column.categories is not None else np.isnan(values).reshape(len(values), -1).any(axis=1)
        where = f"{' (the first in ' if column.missing > 1 else ' ('}row {int(np.argmax(gaps)) + 1:,})"
    lacking = f"the column {short(column.name)} misses {counted(column.missing, thing)}{where}"
    message = f"{lacking}, but every row has to have {wanted}; fill it in, or leave such rows out"
    code = "missing_numbers" if column.categories is None else "missing_texts"
    faults.add(at, code, message, expected=f"no missing {thing}", got=f"{column.missing:,}")


def add_missing(at: str, name: str, by_name: dict[str, ColumnInfo], faults: Faults) -> None:
    hint = did_you_mean(name, by_name) or f" It has {one_of(by_name).replace(' or ', ' and ')}."
    faults.add(at, "no_such_column", f"the data has no column {short(name)}.{hint}", expected="a column of the data", got=short(name))


def check_magnitudes(spec: TrainingSpec, columns: Sequence[ColumnInfo], faults: Faults) -> None:
    most = LARGEST[spec.dtype]
    for column in columns:
        largest = max(abs(column.minimum or 0), abs(column.maximum or 0))
        if largest > most and not faults.full:
            remedy = ' or set "dtype" to "float64"' if spec.dtype == "float32" and largest <= LARGEST["float64"] else ""
            inputs = spec.inputs or []
            named = [inputs.index(column.name)] if column.name in inputs else []
            at = "/target" if column.name == spec.target else pointer("inputs", *named)
            message = f"the column {short(column.name)} holds {largest:g}: {spec.dtype} takes numbers up to {most:g}; scale it down{remedy}"
            faults.add(at, "too_large_number", message, expected=f"at most {most:g}", got=f"{largest:g}")


def check_tokens(spec: TrainingSpec, columns: Sequence[ColumnInfo], preprocess: Sequence[PreprocessSpec], faults: Faults) -> None:
    """An embedding looks up whole numbers below its vocabulary. What preprocessing makes of a column is seen when data is prepared."""
    vocabulary: int | None = getattr(spec.network.layers[0], "vocabulary", None)
    as_they_are = [column for column in columns if not any(column.name in (step.columns or ()) for step in preprocess)]
    for column in as_they_are if vocabulary is not None else ():
        fits = column.integral and (column.minimum or 0) >= 0 and (column.maximum or 0) < (vocabulary or 0)
        if column.categories is None and not fits:
            got = f"{'' if column.integral else 'fractions, '}numbers from {column.minimum:g} to {column.maximum:g}"
            wanted = f"whole numbers from 0 to {(vocabulary or 0) - 1:,}"
            at = pointer("inputs", *([spec.inputs.index(column.name)] if spec.inputs else []))
            message = (
                f"the column {short(column.name)} holds {got}, but an embedding of {vocabulary:,} tokens takes {wanted}; "
                "number the tokens from 0, or raise its vocabulary"
            )
            faults.add(at, "no_such_token", message, expected=wanted, got=got)


def input_shape_of(spec: TrainingSpec, items: Sequence[Item]) -> tuple[int, ...]:
    """A single column keeps its item shape, unless a dense layer takes it; several are laid side by side. items: preprocessed."""
    first = next((layer.type for layer in spec.network.layers if layer.type != "dropout"), "dense")
    if len(items) == 1 and first != "dense" and items[0].shape:
        return items[0].shape
    return (sum(item.features for item in items),)
