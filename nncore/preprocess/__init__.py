"""Preprocessing of inputs: fitted on the training rows only, saved with the network, applied again by every prediction.

A step is one file: its spec (what a user writes), its fitted form (what is saved, JSON) and how that is applied. `PreprocessSpec` is the
only list of steps. Each works on some columns, by itself on each; what it makes of their shape is known before the data is read.

What is saved is the list of fitted steps, each with its numbers by column. The columns go through the steps in their order, in float64:

    standardize, min_max, image_scale   {"type": ..., "columns": {"x": {"offset": [...], "scale": [...]}}}
                                        (x - offset) / scale, a number of each per feature, items laid out in C order
    impute                              {"type": "impute", "columns": {"x": {"fill": [...]}}}: fill where x is NaN, which stands for missing
    missing_indicator                   {"type": "missing_indicator", "dtype": "float64", "columns": {"x": {}}}: x, and behind it 1 where
                                        x is NaN, else 0; "float32", or no dtype, stands for x rounded to float32
    one_hot                             {"type": "one_hot", "unknown": "zeros", "columns": {"kind": {"categories": ["a", null, "c"]}}}
                                        1 where the value is that category, else 0; null stands for one that no training row had
    bag_of_words, log_mel               their options, and "columns": {"text": {}} or {"sound": {"samples": 16000}}: nothing is fitted

The columns, so changed, lie side by side in the order of the inputs, and are then rounded to the network's dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from nncore.preprocess.applying import Preprocessing
from nncore.preprocess.bag_of_words import BagOfWords, FittedBagOfWords
from nncore.preprocess.fitting import apply_kept, fit_and_apply
from nncore.preprocess.image_scale import ImageScale
from nncore.preprocess.impute import FittedImpute, Impute
from nncore.preprocess.log_mel import FittedLogMel, LogMel
from nncore.preprocess.min_max import MinMax
from nncore.preprocess.missing_indicator import FittedMissingIndicator, MissingIndicator
from nncore.preprocess.one_hot import FittedOneHot, OneHot
from nncore.preprocess.scaling import FittedScale
from nncore.preprocess.standardize import Standardize
from nncore.preprocess.step import Item

PreprocessSpec = Annotated[
    Standardize | MinMax | ImageScale | Impute | MissingIndicator | OneHot | BagOfWords | LogMel, Field(discriminator="type")
]
FittedPreprocess = Annotated[
    FittedScale | FittedImpute | FittedMissingIndicator | FittedOneHot | FittedBagOfWords | FittedLogMel, Field(discriminator="type")
]

_fitted_steps: TypeAdapter[list[FittedPreprocess]] = TypeAdapter(list[FittedPreprocess])


def preprocessing(steps: Sequence[Mapping[str, Any]], names: Sequence[str], item_shapes: Sequence[tuple[int, ...] | None]) -> Preprocessing:
    """The fitted steps that were saved as JSON, for inputs of these names and shapes (None: text).

    Raises pydantic's ValidationError where that is not what they are, ValueError where they do not fit the inputs.
    """
    return Preprocessing(_fitted_steps.validate_python([dict(step) for step in steps]), names, item_shapes)


__all__ = [
    "BagOfWords",
    "FittedPreprocess",
    "ImageScale",
    "Impute",
    "Item",
    "LogMel",
    "MinMax",
    "MissingIndicator",
    "OneHot",
    "PreprocessSpec",
    "Preprocessing",
    "Standardize",
    "apply_kept",
    "fit_and_apply",
    "preprocessing",
]
