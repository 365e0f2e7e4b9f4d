"""How a spec divides its rows, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nncore.faults import Faults, counted, one_of, short
from nncore.group_split import TooFewGroups
from nncore.spec.columns import Reading, add_missing, refuse_gaps
from nncore.spec.resolved import ResolvedFinalTest, ResolvedValidation
from nncore.spec.training import FinalTest, TrainingSpec, ValidationSpec
from nncore.split import SIDES, Division, HeldOut, divide, validation_size
from nncore.table.column import ColumnInfo


@dataclass(frozen=True)
class RowParts:
    """The division, what the resolved spec says of it, and how many rows are held out: for validation, and for the test."""

    division: Division
    validation: ResolvedValidation | None = None
    test: ResolvedFinalTest | None = None
    held_out: tuple[int, int] = (0, 0)


def row_parts(
    spec: TrainingSpec,
    by_name: Mapping[str, ColumnInfo],
    of_classes: bool | None,
    rows: int,
    seed: int,
    column: Reading,
    faults: Faults,
) -> RowParts:
    """The parts of so many rows, with their defaults. of_classes: whether the target is; None where that is not known.

    column: asked where the sizes of the parts depend on it, which is to be told then.
    """
    found = Faults()
    _check_one_way(spec, found)
    if spec.group is not None:
        _check_group(spec, spec.group, by_name, column, found)
    if spec.split_column is not None:
        _check_split_column(spec, spec.split_column, by_name, column, found)
    validation, test = None, None
    if spec.validation is not None:
        stratified = _stratified(spec.validation, "validation", of_classes, found)
        validation = ResolvedValidation(fraction=spec.validation.fraction, stratified=stratified)
    if spec.test is not None:
        test = ResolvedFinalTest(fraction=spec.test.fraction, stratified=_stratified(spec.test, "test", of_classes, found))
    division = Division(
        seed=seed,
        validation=None if validation is None else HeldOut(validation.fraction, validation.stratified),
        test=None if test is None else HeldOut(test.fraction, test.stratified),
        fold=spec.fold,
        stratified_folds=bool(of_classes),
        group=spec.group,
        split_column=spec.split_column,
        target=spec.target,
    )
    if not found:
        _check_training_rows(spec, rows, found)
    held_out = (0, 0)
    if not found:
        held_out = division.sizes(rows) if not division.reads else _read_sizes(spec, rows, division, column, found)
    faults.extend(found.found)
    return RowParts(division, validation, test, held_out)


def _check_one_way(spec: TrainingSpec, faults: Faults) -> None:
    """Rows can be divided in one way only."""
    if spec.split_column is not None:
        for name in ("validation", "test", "fold"):
            if getattr(spec, name) is not None:
                message = f"split_column says by itself what each row is for; leave {name} out, or split_column"
                faults.add(f"/{name}", "split_twice", message, got=name)
    elif spec.fold is not None and spec.validation is not None:
        faults.add("/fold", "split_twice", "a fold is held out in place of validation; leave one of them out", got="both")
    if spec.fold is not None and spec.fold.number >= spec.fold.of:
        most = f"at most {spec.fold.of - 1}"
        message = f"number: expected {most} of {spec.fold.of} folds, counted from 0, got {spec.fold.number}"
        faults.add("/fold/number", "no_such_fold", message, expected=most, got=str(spec.fold.number))


def _check_group(spec: TrainingSpec, name: str, by_name: Mapping[str, ColumnInfo], read: Reading, faults: Faults) -> None:
    column = by_name.get(name)
    if column is None:
        add_missing("/group", name, dict(by_name), faults)
    elif name == spec.target or name in (spec.inputs or ()):
        part = "the target" if name == spec.target else "an input"
        message = f"the column {short(name)} is {part}: whole groups are held out, so nothing could be learnt from it; name another"
        faults.add("/group", "group_among_data", message, got=short(name))
    elif column.item_shape:
        message = f"the column {short(name)} holds items of shape {list(column.item_shape)}, but a row belongs to one group; name another"
        faults.add("/group", "not_groups", message, expected="a text or a number per row", got=f"items of shape {list(column.item_shape)}")
    elif column.missing:
        refuse_gaps("/group", column, "a group", read, faults)


def _check_split_column(spec: TrainingSpec, name: str, by_name: Mapping[str, ColumnInfo], read: Reading, faults: Faults) -> None:
    column, at = by_name.get(name), "/split_column"
    if column is None:
        add_missing(at, name, dict(by_name), faults)
    elif name == spec.target or name in (spec.inputs or ()):
        part = "the target" if name == spec.target else "an input"
        faults.add(at, "split_among_data", f"the column {short(name)} is {part}, so it cannot say what rows are for", got=short(name))
    elif column.categories is None:
        message = f"the column {short(name)} holds numbers, but expected are the texts {one_of(SIDES)}"
        faults.add(at, "not_sides", message, expected=one_of(SIDES), got="numbers")
    elif column.missing:
        refuse_gaps(at, column, "a side", read, faults)
    else:
        unknown = [text for text in column.categories if text.strip().lower() not in SIDES]
        if unknown:
            message = f"the column {short(name)} says {one_of(unknown)}; expected are {one_of(SIDES)}"
            faults.add(at, "unknown_side", message, expected=one_of(SIDES), got=short(unknown[0]))
        elif not any(SIDES[text.strip().lower()] == "training" for text in column.categories):
            message = f"no row says {short('train')} in the column {short(name)}, so none is left to train on"
            faults.add(at, "no_training_rows", message, expected="at least one training row", got="none")


def _stratified(asked: ValidationSpec | FinalTest, name: str, of_classes: bool | None, faults: Faults) -> bool:
    if asked.stratified is None:
        return bool(of_classes)
    if asked.stratified and of_classes is False:
        message = "a split can be stratified by classes only, and the target is not classes; leave stratified out"
        faults.add(f"/{name}/stratified", "stratified_without_classes", message, got="true")
    return asked.stratified


def _check_training_rows(spec: TrainingSpec, rows: int, faults: Faults) -> None:
    test = validation_size(rows, spec.test.fraction) if spec.test else 0
    if spec.fold is not None and spec.fold.of > rows - test:
        message = f"{counted(rows - test, 'row')} cannot be dealt to {spec.fold.of} folds; ask for fewer, or send more rows"
        faults.add("/fold/of", "too_many_folds", message, expected=f"at most {counted(rows - test, 'fold')}", got=str(spec.fold.of))
    for name, asked, others in (("validation", spec.validation, test), ("test", spec.test, 0)):
        if asked is not None and validation_size(rows, asked.fraction) + others >= rows:
            beside = f", beside {others:,} for the test," if others else ""
            remedy = "lower the fraction or send more rows"
            message = f"holding out {asked.fraction:g} of {counted(rows, 'row')}{beside} leaves none to train on; {remedy}"
            faults.add(f"/{name}/fraction", "no_training_rows", message, expected="at least one training row", got="none")


def _read_sizes(spec: TrainingSpec, rows: int, division: Division, column: Reading, faults: Faults) -> tuple[int, int]:
    """The sizes that follow from what columns hold."""
    if column is None:
        raise TypeError("to divide rows by a column it is read: resolve needs `values`")
    try:
        split = divide(rows, division, column)
    except TooFewGroups as error:
        message = f"whole groups of {short(spec.group)} are held out, and {error}; ask for fewer parts, or smaller ones"
        faults.add("/group", "too_few_groups", message, got=str(error))
        return 0, 0
    return len(split.validation_rows), len(split.test_rows)
