"""A spec with faults of its shape is still judged where it can be read, and nothing else is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from nncore.errors import InvalidSpec
from nncore.spec import OF_THE_DATA, Limits, TrainingSpec, read_spec, resolve
from nncore.table.json import read_columns

TABLE = read_columns({"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0], "name": ["a", "b", "a", "c"]})
DENSE = {"type": "dense", "units": 1}
GOOD: dict[str, Any] = {"network": {"layers": [DENSE]}, "inputs": ["x"], "target": "y"}


def layers(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"layers": [{**DENSE, **each} for each in fields]}


def found(*, data: bool = True, **fields: Any) -> list[str]:
    """The pointers of all faults of GOOD with these fields; None takes a field out."""
    document = {name: value for name, value in {**GOOD, **fields}.items() if value is not None}
    spec, unread, faults = read_spec(TrainingSpec, document)
    columns, unread = (TABLE.info(), unread) if data else ([], unread | OF_THE_DATA)
    with pytest.raises(InvalidSpec) as caught:
        resolve(spec, columns, TABLE.rows, Limits(), unread=unread)
    return sorted(fault.pointer for fault in (*faults, *caught.value.faults))


def test_faults_of_shape_and_of_sense_are_told_together():
    assert found(
        optimizer={"type": "adam", "speed": 1},
        target="z",
        network=layers({"activation": "step"}, {"weight": [[1, 2, 3]]}),
        epochs=10**8,
        colour="red",
    ) == ["/colour", "/epochs", "/network/layers/0/activation", "/network/layers/1/weight", "/optimizer/speed", "/target"]


@pytest.mark.parametrize(
    ("wrong", "others"),
    [
        ({"network": None}, {"target": "z", "metrics": ["accuracy", "accuracy"]}),
        ({"network": layers({"units": "many"})}, {"inputs": ["x", "q"], "validation": {"fraction": 0.99}}),
        ({"target": None}, {"inputs": ["name"], "epochs": 10**8}),
        ({"inputs": "x"}, {"target": "z", "network": layers({"activation": "step"})}),
        ({"loss": {"type": "l2"}}, {"target": "z", "network": layers({"weight": [[1]]})}),
        ({"dtype": "half"}, {"network": layers({"units": 10**9})}),
        ({"batch_size": 0}, {"metrics": ["mean_absolute_error"]}),
        ({"seed": -1}, {"loss": {"type": "softmax_cross_entropy"}}),
    ],
)
def test_a_field_that_cannot_be_read_hides_no_fault_of_another_and_adds_none(wrong, others):
    assert found(**wrong, **others) == sorted([*found(**wrong), *found(**others)])


@pytest.mark.parametrize(
    ("wrong", "pointers"),
    [
        ({"network": {}}, ["/network/layers"]),
        ({"network": layers({"units": "many"}), "inputs": None}, ["/inputs", "/network/layers/0/units"]),
        ({"target": 3, "inputs": None}, ["/target"]),
        ({"target": "nam", "inputs": None}, ["/target"]),
        ({"loss": {}, "target": "name", "validation": {"stratified": True}}, ["/loss/type"]),
        ({"epochs": "3", "batch_size": None}, ["/epochs"]),
        ({"dtype": "float16", "network": layers({"weight": [[1e300, 1]]})}, ["/dtype"]),
    ],
)
def test_what_depends_on_an_unread_field_is_not_judged(wrong, pointers):
    assert found(**wrong) == pointers


def test_without_the_data_the_rest_is_still_judged():
    wrong = {"network": layers({"activation": "step"}, {}), "metrics": ["accuracy"] * 2, "epochs": 10**8, "seed": -1}
    assert found(data=False, target="z", inputs=["q"], sample_weight="w", validation={"fraction": 0.99}, **wrong) == [
        "/epochs", "/metrics/1", "/network/layers/0/activation", "/seed"
    ]  # fmt: skip


def test_a_document_that_is_no_spec_at_all_is_refused_as_a_whole():
    with pytest.raises(InvalidSpec) as caught:
        read_spec(TrainingSpec, dict.fromkeys(map(str, range(300)), 1))
    assert [fault.pointer for fault in caught.value.faults] == [""]
