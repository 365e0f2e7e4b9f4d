"""New data for parameters that are there: whether the preprocessing they were trained with is kept, and its columns as they know them.

Labels, and the features that one_hot makes, are places. Data that holds fewer classes or categories than the parent's is fine, the places
stay; what the parent does not know has no place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from nncore.data import Fitted, labels_of
from nncore.errors import Fault
from nncore.faults import all_of, one_of, short
from nncore.preprocess import OneHot, PreprocessSpec
from nncore.preprocess.target import TargetPreprocessSpec
from nncore.spec import TrainingSpec
from nncore.table import Column, ColumnInfo
from service.api import columns
from service.api.context import Context
from service.api.parents import Parent
from service.store.models import Dataset

_STEPS: TypeAdapter[list[PreprocessSpec]] = TypeAdapter(list[PreprocessSpec])


def keeps(parent: Parent, body: TrainingSpec) -> bool:
    """Whether the inputs are made as the parent's were: as asked, else where inputs and steps are the parent's."""
    return parent.asked.preprocessing != "fitted" and _is_same(parent, body)


def faults_of_asking(parent: Parent, body: TrainingSpec) -> Iterator[Fault]:
    """What is wrong where the parent's preprocessing is asked for."""
    if parent.asked.preprocessing == "kept" and not _is_same(parent, body):
        message = (
            f"the preprocessing of {parent.called} cannot be kept: inputs, preprocess or preprocess_target are other than there; leave "
            'them out, or send "preprocessing": "fitted"'
        )
        yield Fault("/parent/preprocessing", "other_preprocessing", message, "the inputs and steps of the parent", "others")


def fitted_of(parent: Parent) -> Fitted:
    """What is kept."""
    artifact = parent.artifact()
    return Fitted(artifact.preprocessing, artifact.target_preprocessing)


def steps_of(parent: Parent) -> list[PreprocessSpec]:
    """The steps of the parent, as they were asked for."""
    return parent.spec.preprocess if parent.spec is not None else _STEPS.validate_python(parent.inherited()["preprocess"])


def known(parent: Parent, body: TrainingSpec, infos: Sequence[ColumnInfo], *, kept: bool) -> tuple[list[ColumnInfo], list[Fault]]:
    """The columns with the classes and categories of the parent in the place of their own; and what of theirs it does not know.

    kept: whether its preprocessing is; else the categories have to be the same.
    """
    found, faults = list[ColumnInfo](), list[Fault]()
    encoded = {name for step in steps_of(parent) if isinstance(step, OneHot) and not step.categories for name in step.columns or ()}
    names = dict(zip(body.inputs or (), parent.artifact().input_names, strict=False))
    for column in infos:
        there = names.get(column.name)
        if column.name == body.target:
            found.append(_target(parent, column, faults))
        elif there in encoded:
            found.append(_input(parent, column, _places(parent, there), faults, kept=kept))
        else:
            found.append(column)
    return found, faults


def read_as(here: Context, dataset: Dataset, target: str, classes: Sequence[str] | None) -> Callable[[str], Column]:
    """Gives a column of the dataset by name; the target's texts are coded as places in `classes`."""

    def read(name: str) -> Column:
        column = columns.column(here.store, dataset, name)
        if name != target or column.categories is None or classes is None:
            return column
        return Column(name, np.asarray(labels_of(column, classes)), tuple(classes))

    return read


def _is_same(parent: Parent, body: TrainingSpec) -> bool:
    if parent.spec is not None:
        inputs, target = parent.spec.inputs, parent.spec.preprocess_target
    else:
        inputs, fitted = list(parent.artifact().input_names), parent.artifact().target_preprocessing
        target = None if fitted is None else TargetPreprocessSpec(type=fitted["type"])
    steps = steps_of(parent)
    as_there = [
        step if step.columns is not None or at >= len(steps) else step.model_copy(update={"columns": steps[at].columns})
        for at, step in enumerate(body.preprocess)
    ]
    return body.inputs == inputs and as_there == steps and body.preprocess_target == target


def _target(parent: Parent, column: ColumnInfo, faults: list[Fault]) -> ColumnInfo:
    classes = parent.artifact().classes
    if column.categories is None or classes is None:
        return column
    there = set(classes)
    if unknown := [text for text in column.categories if text not in there]:
        message = (
            f"{parent.called} tells {all_of(classes)} apart, and the target {short(column.name)} also holds {one_of(unknown)}; leave "
            "these rows out, or train a network for these classes"
        )
        faults.append(Fault("/target", "other_classes", message, one_of(classes), short(unknown[0])))
        return column
    return column.model_copy(update={"categories": list(classes)})


def _input(parent: Parent, column: ColumnInfo, places: Sequence[Any], faults: list[Fault], *, kept: bool) -> ColumnInfo:
    """An input of categories, as the parent knows it where its preprocessing is kept. places: what its features stand for."""
    if column.categories is None:
        return _whole_numbers(parent, column, places, faults) if kept else column
    texts = [text if text is not None else f"\0{at}" for at, text in enumerate(places)]  # a place that nothing can be at
    theirs, ours = set(texts), set(column.categories)
    unknown = [text for text in column.categories if text not in theirs]
    missing = [] if kept else [text for text in places if text is not None and text not in ours]
    if not unknown and not missing:
        return column.model_copy(update={"categories": texts}) if kept else column
    of, remedy = f"the input {short(column.name)}", "send data with the same ones, or train anew"
    if unknown:
        message = f"{of} holds {one_of(unknown)}, which {parent.called} was not trained on; {remedy}"
    else:
        message = f"{of} has other texts than {parent.called} was trained on, without {one_of(missing)}; {remedy}"
    faults.append(Fault("/inputs", "other_categories", message))
    return column


def _whole_numbers(parent: Parent, column: ColumnInfo, places: Sequence[Any], faults: list[Fault]) -> ColumnInfo:
    first = next((value - at for at, value in enumerate(places) if isinstance(value, int)), None)
    if first is None or column.minimum is None or column.maximum is None:
        return column
    last = first + len(places) - 1
    if column.minimum < first or column.maximum > last:
        got = f"{column.minimum:g} to {column.maximum:g}"
        message = f"the input {short(column.name)} holds numbers from {got}, and {parent.called} knows those from {first} to {last}"
        message += "; leave the other rows out, or train anew"
        faults.append(Fault("/inputs", "other_categories", message, f"{first} to {last}", got))
        return column
    return column.model_copy(update={"minimum": float(first), "maximum": float(last)})


def _places(parent: Parent, name: str) -> Sequence[Any]:
    """What each feature of a column of categories stands for; None where nothing is known of it.

    Those that no training row had are told by the parent's data, where it is there: they are no strangers, though nothing was learnt.
    """
    steps = [step for step in parent.artifact().preprocessing if step["type"] == "one_hot" and name in step["columns"]]
    fitted = steps[0]["columns"][name]["categories"]
    if parent.dataset is None:
        return list(fitted)
    there = next((column.get("categories") for column in parent.dataset.columns if column["name"] == name), None)
    return there if there is not None and len(there) == len(fitted) else list(fitted)
