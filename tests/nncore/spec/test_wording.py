"""What a wrong spec is told: where, what was expected, what was got, in plain words."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import BaseModel, Field, ValidationError

from nncore.faults import one_of
from nncore.layers import LayerSpec
from nncore.schedules import ScheduleSpec
from nncore.spec import TrainingSpec, faults_of

LAYER_TYPES = one_of(layer.model_fields["type"].default for layer in get_args(get_args(LayerSpec)[0]))
SCHEDULE_TYPES = one_of(schedule.model_fields["type"].default for schedule in get_args(get_args(ScheduleSpec)[0]))
LAYERS = [{"type": "dense", "units": 1}]
GOOD: dict[str, Any] = {"network": {"layers": LAYERS}, "target": "y"}


def faults(content: Any, **options: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        TrainingSpec.model_validate(content)
    return {fault.pointer: fault for fault in faults_of(caught.value, **options)}


def layer(**fields: Any) -> dict[str, Any]:
    return {**GOOD, "network": {"layers": [*LAYERS, {"type": "dense", "units": 1, **fields}]}}


@pytest.mark.parametrize(
    ("content", "pointer", "code", "message"),
    [
        ({"network": {"layers": LAYERS}}, "/target", "missing_field", 'the field "target" is missing'),
        ({**GOOD, "epoch": 3}, "/epoch", "unknown_field",
         'unknown field "epoch". Did you mean "epochs"? Allowed here: network, inputs, target, sample_weight, loss, optimizer, '
         "batch_size, epochs, accumulate, max_seconds, early_stopping, seed, shuffle, dtype, validation, test, fold, "
         "group, split_column, preprocess, preprocess_target, augment, report_every_steps, "
         "diagnostics, metrics"),
        (layer(activaton="relu"), "/network/layers/1/activaton", "unknown_field",
         'unknown field "activaton". Did you mean "activation"? Allowed here: type, units, activation, use_bias, weight, bias, '
         "threshold, initialiser, bias_initialiser"),
        (layer(units="3"), "/network/layers/1/units", "wrong_type", 'units: expected a whole number of at least 1, got "3"'),
        (layer(units=3.0), "/network/layers/1/units", "wrong_type", "units: expected a whole number of at least 1, got 3.0"),
        (layer(units=True), "/network/layers/1/units", "wrong_type", "units: expected a whole number of at least 1, got true"),
        (layer(units=None), "/network/layers/1/units", "wrong_type", "units: expected a whole number of at least 1, got null"),
        (layer(units=0), "/network/layers/1/units", "out_of_range", "units: expected at least 1, got 0"),
        (layer(use_bias="yes"), "/network/layers/1/use_bias", "wrong_type", 'use_bias: expected true or false, got "yes"'),
        (layer(weight=[[1, "a"]]), "/network/layers/1/weight/0/1", "wrong_type", 'weight[0][1]: expected a number, got "a"'),
        (layer(bias=[float("nan")]), "/network/layers/1/bias/0", "not_finite", "bias[0]: expected a finite number, got nan"),
        (layer(bias=[10**400]), "/network/layers/1/bias/0", "not_finite",
         "bias[0]: expected a number below 1.8e308, got a whole number of about 401 digits"),
        (layer(activation="rely"), "/network/layers/1/activation", "unknown_value",
         'activation: expected "linear", "sigmoid", "tanh", "relu", "softmax", "log_softmax", "step", "leaky_relu", "elu", '
             '"selu", "gelu", "gelu_tanh" and 2 more, got "rely". Did you mean "relu"?'),
        ({**GOOD, "network": {"layers": [{"type": "conv1d", "filters": 1, "kernel_size": 1, "padding": 10**9}]}},
         "/network/layers/0/padding", "wrong_padding",
         'padding: expected "valid", "same", a whole number from 0 to 1,048,576, or a list of one for each axis (or two: all before, '
         "then all after), got 1000000000"),
        (layer(type="danse"), "/network/layers/1/type", "unknown_type",
         f'unknown layer type "danse": expected {LAYER_TYPES}. Did you mean "dense"?'),
        ({**GOOD, "network": {"layers": [{"units": 1}]}}, "/network/layers/0/type", "missing_field",
         f'the field "type" is missing: expected {LAYER_TYPES}'),
        ({**GOOD, "network": {"layers": [3]}}, "/network/layers/0", "wrong_type", "layers[0]: expected an object, got 3"),
        ({**GOOD, "network": {"layers": []}}, "/network/layers", "wrong_length", "layers: expected at least 1 item, got 0"),
        (layer(bias=[1], threshold=[1]), "/network/layers/1/threshold", "bias_and_threshold",
         "a layer takes a bias or a threshold, not both (a threshold of t is a bias of -t)"),
        ({**GOOD, "seed": 2**64}, "/seed", "out_of_range", "seed: expected at most 9,223,372,036,854,775,807, got 18446744073709551616"),
        ({**GOOD, "epochs": -(10**5000)}, "/epochs", "out_of_range",
         "epochs: expected at least 1, got a whole number of about 5,001 digits"),
        ({**GOOD, "epochs": 10**5000}, "/epochs", "out_of_range",
         "epochs: expected at most 1,000,000,000, got a whole number of about 5,001 digits"),
        ({**GOOD, "epochs": 1e30}, "/epochs", "wrong_type", "epochs: expected a whole number from 1 to 1,000,000,000, got 1e+30"),
        ({**GOOD, "optimizer": {"type": "adam", "learning_rate": 0}}, "/optimizer/learning_rate", "out_of_range",
         "learning_rate: expected more than 0, got 0"),
        ({**GOOD, "optimizer": {"type": "adam", "schedule": {"type": "cosin"}}}, "/optimizer/schedule/type", "unknown_type",
         f'unknown schedule type "cosin": expected {SCHEDULE_TYPES}. Did you mean "cosine"?'),
        (layer(bias_initialiser={"type": "he"}), "/network/layers/1/bias_initialiser/type", "unknown_type",
         'unknown initialiser type "he": expected "normal", "zeros" or "constant"'),
        ({**GOOD, "loss": {"type": "mse"}}, "/loss/type", "unknown_type",
         'unknown loss type "mse": expected "mean_squared_error", "mean_absolute_error", "huber", "binary_cross_entropy", '
         '"softmax_cross_entropy" or "negative_log_likelihood"'),
        ({**GOOD, "validation": {"fraction": 1}}, "/validation/fraction", "out_of_range", "fraction: expected less than 1, got 1"),
        ({**GOOD, "inputs": "x"}, "/inputs", "wrong_type", 'inputs: expected a list, got "x"'),
        ({**GOOD, "inputs": ["a" * 201]}, "/inputs/0", "wrong_length", "inputs[0]: expected at most 200 characters, got 201"),
        ({**GOOD, "dtype": "float16"}, "/dtype", "unknown_value",
         'dtype: expected "float32" or "float64", got "float16". Did you mean "float64"?'),
        ([1, 2], "", "wrong_type", "the whole: expected an object, got a list of 2 items"),
    ],
)  # fmt: skip
def test_a_fault_points_at_what_was_written_and_says_what_was_expected(content, pointer, code, message):
    found = faults(content)
    assert list(found) == [pointer]
    assert (found[pointer].code, found[pointer].message) == (code, message)


def test_all_faults_are_told_at_once_and_seen_from_the_prefix():
    found = faults({**layer(units=0, bias=["a"]), "epochs": "3", "other": 1, "loss": {}}, prefix="/spec")
    assert sorted(found) == [
        "/spec/epochs", "/spec/loss/type", "/spec/network/layers/1/bias/0", "/spec/network/layers/1/units", "/spec/other"
    ]  # fmt: skip


def test_at_most_twenty_faults_are_told():
    content = {"target": "y", "network": {"layers": [{"type": "dense", "units": 0}] * 100}}
    assert len(faults(content)) == 20


class Cat(BaseModel):
    type: Literal["cat"]
    cat: int


class Dog(BaseModel):
    type: Literal["dog"]


class Pets(BaseModel):
    by_name: dict[str, Annotated[Cat | Dog, Field(discriminator="type")]]
    weight: float | Literal["auto"] = "auto"


def test_only_the_tag_of_a_union_is_left_out_of_a_pointer_not_a_field_of_the_same_name():
    with pytest.raises(ValidationError) as caught:
        Pets.model_validate({"by_name": {"cat": {"type": "cat", "cat": "x"}, "a/b": {"type": "cat"}}, "weight": "heavy"})
    assert {fault.pointer for fault in faults_of(caught.value, model=Pets)} == {"/by_name/cat/cat", "/by_name/a~1b/cat", "/weight"}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Labelled(BaseModel):
    labels: dict[Annotated[str, Field(min_length=1)], int] = Field({}, max_length=2)
    colour: Colour = Colour.RED


@pytest.mark.parametrize(
    ("content", "pointer", "message"),
    [
        ({"labels": {"": 1}}, "/labels/", 'the name "": expected at least 1 character, got 0'),
        ({"labels": {"[key]": "x"}}, "/labels/[key]", '[key]: expected a whole number, got "x"'),
        ({"labels": {"a": 1, "b": 2, "c": 3}}, "/labels", "labels: expected at most 2 items, got 3"),
        ({"colour": "rad"}, "/colour", 'colour: expected "red" or "blue", got "rad". Did you mean "red"?'),
    ],
)
def test_names_sizes_and_choices_of_objects_are_told_with_what_was_got(content: Any, pointer: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Labelled.model_validate(content)
    assert [(fault.pointer, fault.message) for fault in faults_of(caught.value, model=Labelled)] == [(pointer, message)]
