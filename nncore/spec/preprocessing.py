"""Which columns each preprocessing step works on, and what becomes of the inputs."""

from __future__ import annotations

from collections.abc import Sequence

from nncore.faults import Faults, did_you_mean, one_of, pointer, short
from nncore.preprocess import Item, PreprocessSpec
from nncore.spec.training import TrainingSpec
from nncore.table.column import ColumnInfo


def preprocessed(spec: TrainingSpec, inputs: Sequence[ColumnInfo], faults: Faults) -> tuple[list[PreprocessSpec], list[Item]]:
    """The steps with their columns written in, and the items of each input after them; without those that are at fault."""
    items = {column.name: Item.of(column) for column in inputs}
    made: dict[str, str] = {}
    steps: list[PreprocessSpec] = []
    for number, step in enumerate(spec.preprocess):
        at = pointer("preprocess", number)
        names = _named(step, at, items, faults) if step.columns is not None else _meant(step, at, items, made, faults)
        for name in names:
            if step.makes_features and name in made:
                message = f"{made[name]} has made other numbers of the column {short(name)} already; leave it or {step.type} out"
                faults.add(at, "made_twice", message, got=short(name))
                continue
            if step.makes_features:
                made[name] = step.type
            items[name] = step.item_after(items[name])
        steps.append(step.model_copy(update={"columns": names}))
    for column in inputs:
        if items[column.name].is_text:
            _refuse_text(spec, column.name, faults)
            del items[column.name]
        elif items[column.name].missing:
            _refuse_missing(spec, column, faults)
    return steps, list(items.values())


def _named(step: PreprocessSpec, at: str, items: dict[str, Item], faults: Faults) -> list[str]:
    """The columns that the step names; without those it cannot work on."""
    fitting: dict[str, None] = {}
    for position, name in enumerate(step.columns or ()):
        if faults.full:
            break
        here = f"{at}/columns/{position}"
        if name in fitting:
            faults.add(here, "duplicate_column", f"the column {short(name)} stands twice; take one out", got=short(name))
        elif name not in items:
            message = f"{step.type} works on inputs, and {short(name)} is none.{did_you_mean(name, items)} Inputs are {one_of(items)}"
            faults.add(here, "no_such_input", message, expected="an input", got=short(name))
        elif reason := step.refusal(items[name]):
            message = f"{step.type} cannot work on the column {short(name)}, which holds {items[name]} there: {reason}"
            faults.add(here, "unfit_column", message, got=str(items[name]))
        else:
            fitting[name] = None
    return list(fitting)


def _meant(step: PreprocessSpec, at: str, items: dict[str, Item], made: dict[str, str], faults: Faults) -> list[str]:
    """The columns it works on where it names none."""
    found = [name for name, item in items.items() if step.is_meant_for(item) and step.unfit(item) is None]
    if step.makes_features:
        found = [name for name in found if name not in made]
    if refused := next((name for name in found if step.refusal(items[name])), None):
        message = f"{step.type} cannot work on the column {short(refused)}: {step.refusal(items[refused])}"
        faults.add(at, "unfit_column", message, got=str(items[refused]))
        return [name for name in found if not step.refusal(items[name])]
    if not found and items:
        reasons = {step.unfit(item) for item in items.values()} - {None}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        message = f'{step.type} finds no input that it is for{why}; name its "columns", or leave the step out'
        faults.add(at, "no_column", message, expected="an input to work on", got="none")
    return found


def _refuse_missing(spec: TrainingSpec, column: ColumnInfo, faults: Faults) -> None:
    if faults.full:
        return
    at = pointer("inputs", spec.inputs.index(column.name)) if spec.inputs else "/inputs"
    lacking = f"{column.missing:,} of its numbers {'is' if column.missing == 1 else 'are'} missing"
    message = f'the column {short(column.name)}: {lacking}; put impute into "preprocess", or leave the column out'
    faults.add(at, "missing_numbers", message, expected="no missing number", got=f"{column.missing:,}")


def _refuse_text(spec: TrainingSpec, name: str, faults: Faults) -> None:
    if faults.full:
        return
    at = pointer("inputs", spec.inputs.index(name)) if spec.inputs else "/inputs"
    remedy = "leave it out of the inputs" if spec.inputs else 'name the columns of numbers in "inputs"'
    message = (
        f"the column {short(name)} holds text, and a network takes numbers; put one_hot (of categories) or bag_of_words (of "
        f'sentences) into "preprocess", or {remedy}'
    )
    faults.add(at, "text_input", message, expected="a column of numbers", got="a column of text")
