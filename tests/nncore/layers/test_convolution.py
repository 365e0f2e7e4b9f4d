from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from nncore.errors import InvalidSpec
from nncore.layers import Conv2d, LayerSpec
from nncore.machine.plan import Layout, Plan, Value
from nncore.network import NetworkSpec
from nncore.spec.wording import faults_of


def layer(**fields: Any) -> Any:
    return TypeAdapter(LayerSpec).validate_python({"filters": 4, "kernel_size": 3} | fields)


def outputs(one_step: Any, shape: tuple[int, ...], **fields: Any) -> tuple[np.ndarray, Any]:
    """What a convolution and a flatten make of a few items, and the step that holds them."""
    step = one_step([fields | {"type": fields.get("type", "conv2d")}, {"type": "flatten"}], "mean_squared_error", input_shape=shape)
    return step.evaluated()[1], step


def test_every_output_is_the_weighted_sum_of_its_window(one_step: Any) -> None:
    found, step = outputs(one_step, (2, 4, 5), filters=3, kernel_size=[2, 3])
    weight, bias = step.parameters[:36].reshape(3, 2, 2, 3), step.parameters[36:]
    found = found.reshape(5, 3, 3, 3)
    for row in range(3):
        for column in range(3):
            window = step.inputs[:, :, row : row + 2, column : column + 3]
            np.testing.assert_allclose(found[:, :, row, column], np.einsum("ncij,ocij->no", window, weight) + bias, rtol=1e-12)


CUTS = {
    "one row of windows": (1, 16),
    "two items": (10**6, 2),
    "some rows of two items": (200, 2),
    "rows of one item": (400, 1),
    "all": (10**6, 16),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"kernel_size": 3, "padding": "same"}, (2, 9, 9)),
        ({"kernel_size": [3, 2], "groups": 2}, (4, 7, 6)),
        ({"kernel_size": 2, "stride": [2, 3], "padding": 1, "activation": "tanh"}, (2, 8, 9)),
        ({"kernel_size": 2, "dilation": 2, "use_bias": False, "groups": 2}, (2, 6, 21)),
    ],
)
def test_how_items_are_tiled_changes_nothing_but_rounding(
    fields: dict[str, Any], shape: tuple[int, ...], cut: str, one_step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first convolution gives the second its gradient, so a gradient of inputs is among those compared."""
    layers = [{"type": "conv2d", "filters": shape[0], "kernel_size": 1}, {"type": "conv2d", "filters": 4} | fields, {"type": "flatten"}]
    steps = []
    for rows, numbers, turned in ((5, *CUTS[cut]), (1, 10**6, 16)):
        monkeypatch.setattr("nncore.layers.convolution.TILE_NUMBERS", numbers)
        monkeypatch.setattr("nncore.layers.convolution.TURNED", turned)
        steps.append(one_step(layers, "mean_squared_error", input_shape=shape, rows=rows))
    whole, one_by_one = steps
    outputs, slope = whole.evaluated()[1], whole.gradient()
    slopes = np.zeros_like(slope)
    for item in range(5):
        one_by_one.inputs[:], one_by_one.targets[:] = whole.inputs[item], whole.targets[item]
        np.testing.assert_allclose(one_by_one.evaluated()[1][0], outputs[item], rtol=1e-12, atol=1e-14)
        slopes += one_by_one.gradient() / 5
    np.testing.assert_allclose(slopes, slope, rtol=1e-11, atol=1e-13)


def test_columns_are_bounded_whatever_the_picture() -> None:
    """As numbers in scratch beside the turned inputs: three arrays of columns for a picture as a whole would be 70 million."""
    plan = Plan(Layout(), 32, training=True)
    x = Value(plan.workspace(3 * 512**2), plan.workspace(3 * 512**2), (3, 512, 512))
    layer(type="conv2d").lower(plan, x)
    assert plan.layout.sizes["scratch"] < 2 * 3 * 512**2 + 3 * 2**16


@pytest.mark.parametrize(
    ("fields", "shape", "expected"),
    [
        ({"type": "conv2d"}, (2, 8, 9), (4, 6, 7)),
        ({"type": "conv2d", "padding": "same", "stride": 2}, (2, 8, 9), (4, 4, 5)),
        ({"type": "conv2d", "padding": 1}, (2, 8, 9), (4, 8, 9)),
        ({"type": "conv2d", "padding": [0, 1, 2, 3]}, (2, 8, 9), (4, 8, 11)),
        ({"type": "conv2d", "kernel_size": [1, 5], "dilation": 2}, (2, 8, 9), (4, 8, 1)),
        ({"type": "conv1d", "stride": 3}, (2, 8), (4, 2)),
        ({"type": "conv1d", "padding": [2, 0]}, (2, 8), (4, 8)),
    ],
)
def test_shapes_are_those_of_torch(fields: dict[str, Any], shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert layer(**fields).output_shape(shape) == expected


@pytest.mark.parametrize(
    ("fields", "shape", "pointer", "says"),
    [
        (
            {"type": "conv2d"},
            (784,),
            "",
            'conv2d layer takes items of shape (channels, height, width), got items of shape [784]; put {"type"',
        ),
        ({"type": "conv1d"}, (1, 28, 28), "", "conv1d layer takes items of shape (channels, length)"),
        ({"type": "conv2d", "kernel_size": 5}, (1, 4, 9), "/kernel_size", "reaches over 5 numbers does not fit into axis 1"),
        ({"type": "conv2d", "groups": 3}, (3, 9, 9), "/groups", "4 filters are wanted"),
        ({"type": "conv2d", "groups": 2}, (3, 9, 9), "/groups", "3 channels come in"),
        ({"type": "conv2d", "groups": 2}, (1, 9, 9), "/groups", "but 1 channel comes in; choose"),
        ({"type": "conv2d", "groups": 2, "filters": 1}, (2, 9, 9), "/groups", "but 1 filter is wanted; choose"),
        ({"type": "conv2d", "padding": [1, 1, 1]}, (1, 9, 9), "/padding", "has 3 numbers"),
        ({"type": "conv1d", "stride": [1, 1]}, (1, 9), "/stride", "2 numbers"),
    ],
)
def test_what_does_not_fit_is_refused_naming_the_layer(fields: dict[str, Any], shape: tuple[int, ...], pointer: str, says: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        layer(**fields).output_shape(shape)
    assert refused.value.faults[0].pointer == pointer
    assert says in refused.value.faults[0].message


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"kernel_size": 0}, "/kernel_size"),
        ({"kernel_size": [3, "3"]}, "/kernel_size"),
        ({"stride": 1.5}, "/stride"),
        ({"padding": "full"}, "/padding"),
        ({"padding": -1}, "/padding"),
        ({"dilation": []}, "/dilation"),
        ({"activation": "softmax"}, "/activation"),
        ({"filters": 0}, "/filters"),
    ],
)
def test_a_wrong_field_is_one_fault_at_the_field(wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Conv2d.model_validate({"filters": 4, "kernel_size": 3} | wrong)
    assert [fault.pointer for fault in faults_of(refused.value, model=Conv2d)] == [pointer]


def test_a_convolution_and_its_activation_are_two_modules_as_in_torch() -> None:
    network = NetworkSpec.model_validate(
        {"layers": [{"type": "conv2d", "filters": 4, "kernel_size": 3, "groups": 2, "activation": "relu"}] * 2}
    )
    assert network.parameters((2, 9, 9)) == [
        ("0.weight", (4, 1, 3, 3)),
        ("0.bias", (4,)),
        ("2.weight", (4, 2, 3, 3)),
        ("2.bias", (4,)),
    ]


def test_initial_parameters_are_uniform_within_the_inverse_root_of_a_window(one_step: Any) -> None:
    _, step = outputs(one_step, (4, 6, 6), filters=100, kernel_size=5)
    assert 0.0995 < np.abs(step.parameters).max() < 0.1
