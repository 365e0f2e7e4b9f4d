"""Any steps over any columns are refused with pointers, or make inputs of the shape that was promised, in training as in predictions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nncore.data import TrainingData
from nncore.errors import InvalidSpec
from nncore.preprocess import preprocessing
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table import Table
from nncore.table.json import read_columns
from nncore.table.missing import EVERY_COLUMN
from nncore.trainer import Trainer

ROWS = 11
RANDOM = np.random.default_rng(1)
TABLE = read_columns(
    {
        "number": [1.5, None, 3.0, 2.5, None, 1.5, 0.25, 4.0, 8.0, 1.0, -3.0],
        "whole": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5],
        "kind": [*"abcabcabcad"],
        "text": [f"word{row % 3} and word{row % 4}" for row in range(ROWS)],
        "sound": RANDOM.normal(size=(ROWS, 30)).round(3).tolist(),
        "picture": RANDOM.integers(0, 256, (ROWS, 2, 3, 3)).tolist(),
        "y": [row % 3 for row in range(ROWS)],
    },
    may_miss=EVERY_COLUMN,
)
NAMES = [column.name for column in TABLE.columns][:-1]
COLUMNS = st.none() | st.lists(st.sampled_from([*NAMES * 5, "y", "nobody"]), min_size=1, max_size=3)
USUAL: list[dict[str, Any]] = [{"type": "impute"}, {"type": "one_hot", "columns": ["kind"]}, {"type": "bag_of_words", "size": 5}]


def step(kind: str, **fields: Any) -> Any:
    return st.fixed_dictionaries({"type": st.just(kind), "columns": COLUMNS}, optional=fields)


STEPS = st.one_of(
    step("standardize"),
    step("min_max"),
    step("image_scale", scale=st.sampled_from([255.0, 0.5]), mean=st.sampled_from([[0.5, 0.25], [0.5]])),
    step("impute", strategy=st.sampled_from(["mean", "median", "most_frequent", "constant"])),
    step("missing_indicator"),
    step("one_hot", categories=st.sampled_from([["a", "b"], [1, 5], None])),
    step("bag_of_words", size=st.integers(2, 9), norm=st.sampled_from(["l2", None])),
    st.fixed_dictionaries(
        {
            "type": st.just("log_mel"),
            "columns": COLUMNS,
            "sample_rate": st.just(100.0),
            "window": st.integers(2, 40),
            "hop": st.integers(1, 9),
        },
        optional={"mels": st.integers(1, 5), "channels_first": st.booleans(), "mel_scale": st.sampled_from(["htk", "slaney"])},
    ),
)
AUGMENT = st.lists(
    st.sampled_from(
        [{"type": "noise"}, {"type": "flip"}, {"type": "shift", "most": [1]}, {"type": "shift", "most": [2, 1]}, {"type": "mixup"}]
    ),
    max_size=2,
)
SPECS = st.fixed_dictionaries(
    {
        "inputs": st.sampled_from([None, None, ["kind", "text", "picture"]])
        | st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
        "preprocess": st.builds(lambda usual, others: usual + others, st.sampled_from([[], USUAL]), st.lists(STEPS, max_size=3)),
        "augment": st.just([]) | AUGMENT,
        "dtype": st.sampled_from(["float32", "float64"]),
        "validation": st.sampled_from([None, {"fraction": 0.4}]),
    }
)


@settings(max_examples=300)
@given(SPECS)
def test_steps_are_refused_or_do_what_was_promised(fields: dict[str, Any]) -> None:
    network = {"layers": [{"type": "dense", "units": 3}]}
    spec = TrainingSpec.model_validate({"network": network, "target": "y", "seed": 1, "epochs": 1, "batch_size": 4, **fields})
    try:
        resolved = resolve(spec, TABLE.info(), TABLE.rows, Limits())
    except InvalidSpec as refusal:
        parts = {fault.pointer.split("/")[1] for fault in refusal.faults}
        event("refused")
    else:
        parts = set()
    assert parts <= {"inputs", "preprocess", "augment"}
    if parts:
        return
    assert (
        resolve(TrainingSpec.model_validate(resolved.model_dump(include=set(TrainingSpec.model_fields))), TABLE.info(), ROWS, Limits())
        == resolved
    )
    data = TrainingData.prepare(resolved, TABLE)
    assert data.inputs.shape == (ROWS, *resolved.input_shape)
    assert np.isfinite(data.inputs).all()
    shapes = [None if shape is None else tuple(shape) for shape in resolved.item_shapes]
    again = preprocessing(json.loads(json.dumps(data.preprocessing)), resolved.inputs, shapes)
    made = again.prepared([TABLE[name] for name in resolved.inputs])(slice(None))
    assert np.array_equal(made.astype(resolved.dtype), data.inputs)
    list(Trainer(resolved, data).run())


def test_the_table_of_this_test_misses_numbers_and_holds_text() -> None:
    assert isinstance(TABLE, Table)
    assert [info.name for info in TABLE.info() if info.missing or info.categories] == ["number", "kind", "text"]
