"""Columns through resolve, training data and a predictor: what a step makes of them, everywhere the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.preprocess import preprocessing
from nncore.table.json import read_columns


@pytest.fixture
def preprocessed(job: Callable[..., Any]) -> Callable[..., SimpleNamespace]:
    """`preprocessed(columns, *steps, **spec)`: the inputs of training, the fitted steps, and inputs made again from those as JSON."""

    def run(columns: dict[str, Any], *steps: dict[str, Any], **spec: Any) -> SimpleNamespace:
        rows = len(next(iter(columns.values())))
        table = columns | {"target": [row % 2 for row in range(rows)]}
        network = spec.pop("network", [{"type": "dense", "units": 1}])
        standard = {"target": "target", "network": network, "dtype": "float64", "seed": 2, "preprocess": list(steps)}
        resolved, data = job(table, **standard | spec)
        shapes = [None if shape is None else tuple(shape) for shape in resolved.item_shapes]
        again = preprocessing(json.loads(json.dumps(data.preprocessing)), resolved.inputs, shapes)
        found = read_columns({name: columns[name] for name in resolved.inputs})
        made = again.prepared(found.columns)(slice(None)).astype(resolved.dtype)
        assert np.array_equal(made, data.inputs.reshape(rows, -1))
        assert resolved.input_shape == list(data.inputs.shape[1:])
        return SimpleNamespace(inputs=data.inputs, fitted=data.preprocessing, spec=resolved, data=data, again=again)

    return run


@pytest.fixture
def refused(preprocessed: Any) -> Callable[..., dict[str, tuple[str, str]]]:
    """Faults of a spec: pointer -> (code, message)."""

    def run(*arguments: Any, **spec: Any) -> dict[str, tuple[str, str]]:
        with pytest.raises(InvalidSpec) as caught:
            preprocessed(*arguments, **spec)
        return {fault.pointer: (fault.code, fault.message) for fault in caught.value.faults}

    return run
