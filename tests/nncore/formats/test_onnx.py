"""ONNX export: what onnx.reference and onnxruntime answer is what the predictor answers, for every layer, activation and step."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nncore import formats
from nncore.artifact import Artifact
from nncore.errors import InvalidSpec
from nncore.formats.onnx import OPSETS, RULES
from nncore.formats.onnx.preprocessing import STEPS
from nncore.formats.onnx.protobuf import message, varint
from nncore.layers import LayerSpec
from nncore.predictor import Predictor
from nncore.preprocess import PreprocessSpec
from tests.nncore.formats.networks import EVERY_NETWORK, artifact_and_inputs, artifact_of_columns
from tests.nncore.test_gradients import types_of

TOLERANCE: dict[str, dict[str, float]] = {"float32": {"atol": 2e-6, "rtol": 2e-5}, "float64": {"atol": 1e-13, "rtol": 1e-12}}
# What onnxruntime's CPU has in float32 only.
NOT_IN_FLOAT64 = {"Conv", "AveragePool", "Elu", "Softplus", "Erf", "LSTM", "GRU", "RNN"}


def test_every_layer_has_a_rule() -> None:
    assert set(RULES) == types_of(LayerSpec)


def checked(artifact: Artifact) -> Any:
    """The exported model, seen by onnx.checker with its shapes inferred."""
    onnx = pytest.importorskip("onnx", reason="no onnx")
    model = onnx.load_model_from_string(formats.write(artifact, "onnx"))
    onnx.checker.check_model(model, full_check=True)
    return model


def by_reference(model: Any, inputs: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, inputs if isinstance(inputs, dict) else {"inputs": inputs}), strict=True))


def by_runtime(model: Any, inputs: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(
        zip(
            (output.name for output in session.get_outputs()),
            session.run(None, inputs if isinstance(inputs, dict) else {"inputs": inputs}),
            strict=True,
        )
    )


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_reference_and_runtime_answer_as_the_predictor_does(name: str, dtype: str) -> None:
    artifact, inputs = artifact_and_inputs(name, dtype)
    expected, model = Predictor(artifact).predict({"x": inputs}).outputs, checked(artifact)
    operators = {node.op_type for node in model.graph.node}
    relu_in_rnn = any("Relu" in str(node.attribute) for node in model.graph.node if node.op_type == "RNN")
    answers = [] if relu_in_rnn else [by_reference(model, inputs)]  # the reference knows no relu there
    if dtype == "float32" or not operators & NOT_IN_FLOAT64:
        answers.append(by_runtime(model, inputs))
    assert answers or (dtype, relu_in_rnn) == ("float64", True)
    tolerance = TOLERANCE["float32" if "Erf" in operators else dtype]  # the reference computes erf in float32
    for answer in answers:
        assert answer["outputs"].dtype == dtype
        np.testing.assert_allclose(answer["outputs"], expected, **tolerance)


@pytest.mark.oracle
def test_onnxruntime_still_lacks_what_the_document_says_it_lacks() -> None:
    """So that the others are never left out for nothing."""
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
    for name, operator in {"conv2d-0": "Conv", "lstm-0": "LSTM", "activation-elu": "Elu", "activation-gelu": "Erf"}.items():
        model = checked(artifact_and_inputs(name, "float64")[0])
        assert operator in {node.op_type for node in model.graph.node}
        with pytest.raises(
            (runtime.capi.onnxruntime_pybind11_state.NotImplemented, runtime.capi.onnxruntime_pybind11_state.RuntimeException)
        ):
            by_runtime(model, artifact_and_inputs(name, "float64")[1])


STANDARDIZE = {"type": "standardize", "columns": {"x": {"offset": [0.5, -2.0, 100.0, 0.0], "scale": [2.0, 0.1, 30.0, 1.0]}}}
MIN_MAX = {"type": "min_max", "columns": {"x": {"offset": [-1.0, 0.0, 1.0, 2.0], "scale": [2.0, 3.0, 4.0, 5.0]}}}


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("softmax_cross_entropy", "one-layer"),
        ("binary_cross_entropy", "one-layer"),
        ("binary_cross_entropy", "one-output"),
        ("huber", "one-output"),
    ],
)
def test_raw_inputs_go_in_and_probabilities_come_out(loss: str, name: str, dtype: str) -> None:
    artifact, inputs = artifact_and_inputs(name, dtype, loss=loss, preprocessing=[STANDARDIZE, MIN_MAX])
    inputs = inputs * 50
    expected, model = Predictor(artifact).predict({"x": inputs}), checked(artifact)
    named = ["outputs"] if loss == "huber" else ["logits", "probabilities"]
    for answer in (by_reference(model, inputs), by_runtime(model, inputs)):
        assert list(answer) == named
        np.testing.assert_allclose(answer[named[0]], expected.outputs, **TOLERANCE[dtype])
        if expected.probabilities is not None:
            assert answer["probabilities"].shape == expected.probabilities.shape
            np.testing.assert_allclose(answer["probabilities"], expected.probabilities, **TOLERANCE[dtype])


def fed(columns: dict[str, Any], dtype: str) -> dict[str, np.ndarray]:
    return {f"inputs.{name}": np.array(values, dtype=object if isinstance(values, list) else dtype) for name, values in columns.items()}


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("names", "channels_first"),
    [
        (["colour"], False),
        (["class", "size"], False),
        (["sound"], True),
        (["income", "age"], False),
        (["size", "colour", "sound", "class"], False),
    ],
)
def test_steps_that_make_features_are_in_the_graph_and_columns_are_its_inputs(names: list[str], channels_first: bool, dtype: str) -> None:
    artifact, columns = artifact_of_columns(dtype, *names, channels_first=channels_first)
    if dtype == "float32":
        columns = {name: values.astype(np.float32) if isinstance(values, np.ndarray) else values for name, values in columns.items()}
    expected, model = Predictor(artifact).predict(columns).outputs, checked(artifact)
    assert [each.name for each in model.graph.input] == [f"inputs.{name}" for name in names]
    for answer in (by_reference(model, fed(columns, dtype)), by_runtime(model, fed(columns, dtype))):
        np.testing.assert_allclose(answer["outputs"], expected, atol=2e-6, rtol=2e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_missing_is_imputed_where_columns_lie_side_by_side(dtype: str) -> None:
    artifact, columns = artifact_of_columns(dtype, "age", "size")
    inputs = np.column_stack(list(columns.values())).astype(dtype)
    expected, model = Predictor(artifact).predict({"age": inputs[:, 0], "size": inputs[:, 1:]}).outputs, checked(artifact)
    for answer in (by_reference(model, inputs), by_runtime(model, inputs)):
        np.testing.assert_allclose(answer["outputs"], expected, **TOLERANCE[dtype])


def test_a_step_that_no_graph_can_express_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="no operator for bag_of_words; take the format python"):
        formats.write(artifact_of_columns("float32", "size", "review")[0], "onnx")


def test_every_step_but_that_one_can_be_expressed() -> None:
    assert types_of(PreprocessSpec) - {"bag_of_words"} <= set(STEPS)


@pytest.mark.oracle
def test_steps_compute_in_float64_whatever_the_network_does() -> None:
    """Two dates a second apart; float32 would take them for the same after the mean is taken away, had it the digits at all."""
    far = {"type": "standardize", "columns": {"x": {"offset": [1e7 + 0.3] * 4, "scale": [1.0] * 4}}}
    artifact, inputs = artifact_and_inputs("one-layer", "float32", preprocessing=[far])
    inputs = (np.arange(24).reshape(6, 4) + 1e7).astype(np.float32)
    expected, model = Predictor(artifact).predict({"x": inputs}).outputs, checked(artifact)
    np.testing.assert_allclose(by_runtime(model, inputs)["outputs"], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("rows", [1, 2, 33])
@pytest.mark.parametrize("name", ["lstm-2", "conv2d-1", "parallel-0"])
def test_any_number_of_rows_may_be_asked_at_once(name: str, rows: int) -> None:
    artifact, inputs = artifact_and_inputs(name, "float32", rows)
    answer = by_runtime(checked(artifact), inputs)["outputs"]
    np.testing.assert_allclose(answer, Predictor(artifact).predict({"x": inputs}).outputs, **TOLERANCE["float32"])


@pytest.mark.oracle
def test_the_file_says_what_it_is() -> None:
    model = checked(artifact_and_inputs("lstm-0", "float32", loss="softmax_cross_entropy", classes=("a", "b", "c"))[0])
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSETS[""])]
    assert [output.name for output in model.graph.output] == ["logits", "probabilities"]
    (inputs,) = model.graph.input
    assert [size.dim_param or size.dim_value for size in inputs.type.tensor_type.shape.dim] == ["batch", 3, 2]
    assert json.loads(model.metadata_props[0].value)["classes"] == ["a", "b", "c"]
    assert "0.W" in {tensor.name for tensor in model.graph.initializer}


def test_equal_artifacts_give_equal_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = formats.write(artifact_and_inputs("gru-3", "float32")[0], "onnx")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert formats.write(artifact_and_inputs("gru-3", "float32")[0], "onnx") == data


def test_protobuf_is_encoded_as_its_specification_shows() -> None:
    """The examples of the encoding guide; a negative number takes ten bytes."""
    assert message([(1, 150)]) == bytes.fromhex("089601")
    assert message([(2, "testing")]) == bytes.fromhex("120774657374696e67")
    assert message([(3, message([(1, 150)]))]) == bytes.fromhex("1a03089601")
    assert varint(-2) == bytes.fromhex("feffffffffffffffff01")
    assert message([(1, 1.0)]) == bytes.fromhex("0d0000803f")
