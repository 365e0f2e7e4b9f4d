"""A target of numbers is learnt scaled and told in its own unit, wherever it is told."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore import checkpoint, formats
from nncore.baseline import baseline
from nncore.errors import InvalidFile, InvalidSpec
from nncore.formats import FORMATS
from nncore.predictor import Predictor
from nncore.table import Column
from nncore.trainer import Trainer

X = np.linspace(-1, 1, 40)
PRICES = {"x": X.tolist(), "price": (300_000 + 50_000 * X).tolist()}
NETWORK = [{"type": "dense", "units": 1}]


def trained(job: Any, columns: dict[str, Any] = PRICES, **spec: Any) -> Trainer:
    standard = {"inputs": ["x"], "target": "price", "network": NETWORK, "epochs": 60, "batch_size": 10, "seed": 1, "dtype": "float64"}
    optimizer = {"type": "adam", "learning_rate": 0.05}
    trainer = Trainer(*job(columns, **{**standard, "preprocess_target": {"type": "standardize"}, "optimizer": optimizer, **spec}))
    list(trainer.run())
    return trainer


@pytest.mark.parametrize("kind", ["standardize", "min_max"])
def test_predictions_and_metrics_are_in_the_unit_of_the_target_and_losses_are_not(kind: str, job: Any) -> None:
    metrics = ["mean_absolute_error", "r2"]
    trainer = trained(job, preprocess_target={"type": kind}, validation={"fraction": 0.25}, metrics=metrics)
    answers = Predictor(trainer.artifact()).predict({"x": PRICES["x"]}).outputs[:, 0]
    assert np.abs(answers - PRICES["price"]).max() < 2_000
    held_out = trainer.data.validation_rows
    last = Predictor(trainer.artifact("last")).predict({"x": X[held_out]}).outputs[:, 0]
    missed = np.abs(last - np.array(PRICES["price"])[held_out]).mean()
    assert trainer.last_report is not None
    assert trainer.last_report.metrics["mean_absolute_error"] == pytest.approx(missed)
    assert trainer.last_report.validation_loss < 0.01
    assert trainer.last_report.metrics["r2"] > 0.99


def test_it_is_fitted_on_the_training_rows_alone(job: Any) -> None:
    trainer = trained(job, validation={"fraction": 0.25}, epochs=1)
    rows = np.array(PRICES["price"])[trainer.data.training_rows]
    assert trainer.data.target_preprocessing == {"type": "standardize", "offset": [rows.mean()], "scale": [rows.std()]}


def test_without_it_nothing_is_learnt_of_such_a_target(job: Any) -> None:
    answers = Predictor(trained(job, preprocess_target=None).artifact()).predict({"x": [0.0]}).outputs
    assert answers[0, 0] < 1_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_file_answers_in_the_unit_of_the_target(dtype: str, job: Any, tmp_path: Path) -> None:
    columns = {"x": PRICES["x"], "price": np.stack([PRICES["price"], -X], axis=1).tolist()}
    artifact = trained(job, columns, dtype=dtype, network=[{"type": "dense", "units": 2}]).artifact()
    expected = Predictor(artifact).predict({"x": X}).outputs
    assert expected.dtype == dtype
    for name, each in FORMATS.items():
        if each.read is not None:
            again = each.read(formats.write(artifact, name))
            assert again.target_preprocessing == artifact.target_preprocessing
            np.testing.assert_array_equal(Predictor(again).predict({"x": X}).outputs, expected)
    script = tmp_path / "network.py"
    script.write_bytes(formats.write(artifact, "python"))
    answer = runpy.run_path(str(script))["predict"]({"x": X})["outputs"]
    assert answer.dtype == dtype
    np.testing.assert_allclose(answer, expected, rtol=1e-5)
    onnx = pytest.importorskip("onnx", reason="no onnx")
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_model_from_string(formats.write(artifact, "onnx"))
    onnx.checker.check_model(model, full_check=True)
    (found,) = ReferenceEvaluator(model).run(None, {"inputs": X[:, None].astype(dtype)})
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_files_of_a_target_as_it_is_do_not_speak_of_it(job: Any) -> None:
    assert b"target_preprocessing" not in formats.write(trained(job, preprocess_target=None, epochs=1).artifact(), "json")


def test_a_file_whose_scales_are_not_those_of_its_outputs_is_refused(job: Any) -> None:
    text = formats.write(trained(job, epochs=1).artifact(), "json").decode()
    for wrong in (text.replace('"scale":[', '"scale":[1.0,'), text.replace('"offset":[', '"offset":["a",')):
        with pytest.raises(InvalidFile, match=r"target"):
            formats.read(wrong.encode())


def test_it_is_in_checkpoints_and_in_starts(job: Any) -> None:
    trainer = trained(job, epochs=2)
    again = Trainer(trainer.spec, trainer.data)
    again.restore(checkpoint.decode(checkpoint.encode(trainer.state())))
    assert again.state()["about"].tobytes() == trainer.state()["about"].tobytes()
    for state in (trainer.state(), checkpoint.start(trainer.artifact())):
        found = checkpoint.artifact_from(trainer.spec, state, "best").artifact
        assert found.target_preprocessing == trainer.data.target_preprocessing


def test_the_baseline_is_the_mean_in_the_unit_of_the_target(job: Any) -> None:
    spec = trained(job, epochs=1, metrics=["mean_absolute_error", "r2"]).spec
    found = baseline(spec, lambda name: Column(name, np.array(PRICES[name], dtype=np.float64)))
    assert found.predicts == [pytest.approx(300_000)]
    assert found.loss == pytest.approx(1.0)
    assert found.metrics == {"mean_absolute_error": pytest.approx(np.abs(50_000 * X).mean()), "r2": pytest.approx(0.0, abs=1e-12)}


def test_whole_numbers_that_are_scaled_are_no_classes(job: Any) -> None:
    spec, _ = job({"x": [0, 1, 2, 3], "y": [0, 1, 0, 1]}, target="y", network=NETWORK, preprocess_target={"type": "min_max"})
    assert (spec.loss.type, spec.classes) == ("mean_squared_error", None)


@pytest.mark.parametrize(
    ("target", "loss"), [([0, 1, 0, 1], {"type": "binary_cross_entropy"}), (["a", "b", "a", "b"], {"type": "binary_cross_entropy"})]
)
def test_classes_are_not_scaled(target: list[Any], loss: dict[str, Any], job: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        job({"x": [0, 1, 2, 3], "y": target}, target="y", network=NETWORK, loss=loss, preprocess_target={"type": "min_max"})
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/preprocess_target", "target_is_classes")]
