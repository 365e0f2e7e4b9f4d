"""The standalone script: run by another process, with numpy alone, it answers what the predictor answers, for every layer."""

from __future__ import annotations

import ast
import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore import formats
from nncore.artifact import Artifact
from nncore.formats.python import RULES
from nncore.formats.python.preprocessing import STEPS
from nncore.formats.python.reading import read_file
from nncore.layers import LayerSpec
from nncore.predictor import Predictor
from nncore.preprocess import PreprocessSpec
from nncore.table.missing import WORDS
from tests.nncore.formats.networks import EVERY_NETWORK, artifact_and_inputs, artifact_of_columns
from tests.nncore.test_gradients import types_of

TOLERANCE: dict[str, dict[str, float]] = {"float32": {"atol": 2e-6, "rtol": 2e-5}, "float64": {"atol": 1e-13, "rtol": 1e-12}}

# Runs every script of a folder on the inputs beside it, and tells which modules were loaded.
DRIVER = """
import json, pathlib, runpy, sys
import numpy as np
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    answer = runpy.run_path(str(path))["predict"](np.load(path.with_suffix(".npy")))
    np.save(path.with_suffix(".answer.npy"), answer["outputs"])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_every_layer_has_a_rule() -> None:
    assert set(RULES) == types_of(LayerSpec)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripts, inputs, and what one other process answered. NAME.DTYPE.py, .npy and .answer.npy; loaded.json."""
    folder: Path = tmp_path_factory.mktemp("scripts")
    for name in EVERY_NETWORK:
        for dtype in ("float32", "float64"):
            artifact, inputs = artifact_and_inputs(name, dtype)
            (folder / f"{name}.{dtype}.py").write_bytes(formats.write(artifact, "python"))
            np.save(folder / f"{name}.{dtype}.npy", inputs)
    done = run(["-c", DRIVER, str(folder)], folder)
    (folder / "loaded.json").write_text(done)
    return folder


def run(arguments: list[str], folder: Path, given: str | None = None) -> str:
    done = subprocess.run([sys.executable, "-I", *arguments], cwd=folder, input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_the_script_answers_as_the_predictor_does(name: str, dtype: str, folder: Path) -> None:
    artifact, inputs = artifact_and_inputs(name, dtype)
    answer = np.load(folder / f"{name}.{dtype}.answer.npy")
    assert answer.dtype == dtype
    np.testing.assert_allclose(answer, Predictor(artifact).predict({"x": inputs}).outputs, **TOLERANCE[dtype])


def test_scripts_need_numpy_and_nothing_else(folder: Path) -> None:
    loaded = set(json.loads((folder / "loaded.json").read_text()))
    assert "numpy" in loaded
    assert not loaded & {"nncore", "numba", "scipy", "pydantic", "safetensors", "onnx"}
    for path in folder.glob("*.py"):
        imported = {each.names[0].name for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Import)}
        assert imported <= {"base64", "csv", "json", "math", "re", "sys", "numpy"}


@pytest.mark.parametrize("name", ["one-layer", "lstm-0", "conv2d-0"])
def test_a_script_holds_only_what_it_calls(name: str) -> None:
    source = formats.write(artifact_and_inputs(name, "float32")[0], "python").decode()
    tree = ast.parse(source)
    defined = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)} - {"predict"}
    called = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    assert defined <= called
    compile(source, name, "exec")


STANDARDIZE = {
    "type": "standardize",
    "columns": {
        name: {"offset": [offset], "scale": [scale]} for name, offset, scale in (("a", 0.5, 2.0), ("b", -2.0, 0.1), ("d", 100.0, 30.0))
    },
}
MIN_MAX = {"type": "min_max", "columns": {'c "quoted"': {"offset": [1.0], "scale": [4.0]}, "a": {"offset": [-1.0], "scale": [2.0]}}}


def of_columns(**changed: Any) -> tuple[Artifact, dict[str, list[float]]]:
    """An artifact of four columns, and rows of them."""
    artifact, inputs = artifact_and_inputs(changed.pop("name", "one-layer"), "float32")
    artifact = replace(artifact, input_names=("a", "b", 'c "quoted"', "d"), item_shapes=(), **changed)
    return artifact, dict(zip(artifact.input_names, (inputs * 30).T.round(3).tolist(), strict=True))


@pytest.mark.parametrize(
    ("loss", "name", "classes"),
    [
        ("softmax_cross_entropy", "one-layer", ("cat", "dog", "é")),
        ("softmax_cross_entropy", "one-layer", ("0", "1", "2")),
        ("binary_cross_entropy", "one-output", ("no", "yes")),
        ("binary_cross_entropy", "one-layer", None),
        ("mean_squared_error", "one-layer", None),
    ],
)
def test_files_go_in_and_json_comes_out(loss: str, name: str, classes: Any, tmp_path: Path) -> None:
    artifact, columns = of_columns(loss=loss, name=name, classes=classes, preprocessing=[STANDARDIZE, MIN_MAX])
    expected = Predictor(artifact).predict(columns)
    (tmp_path / "network.py").write_bytes(formats.write(artifact, "python"))
    (tmp_path / "rows.json").write_text(json.dumps(columns))
    names = ["d", "a", "ignored", 'c "quoted"', "b"]
    lines = ['d,a,ignored,"c ""quoted""",b', *(",".join(str(columns.get(each, [0] * 6)[row]) for each in names) for row in range(6))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    answers = [json.loads(run(["network.py", file], tmp_path)) for file in ("rows.json", "rows.csv")]
    answers.append(json.loads(run(["network.py", "-"], tmp_path, json.dumps(list(zip(*columns.values(), strict=True))))))
    for answer in answers:
        np.testing.assert_allclose(answer["outputs"], expected.outputs, **TOLERANCE["float32"])
        assert ("probabilities" in answer) == (expected.probabilities is not None)
        if expected.probabilities is not None and expected.labels is not None:
            np.testing.assert_allclose(answer["probabilities"], expected.probabilities, **TOLERANCE["float32"])
            assert answer["labels"] == expected.labels.tolist()


def test_every_preprocessing_step_has_a_rule() -> None:
    assert types_of(PreprocessSpec) <= set(STEPS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "names", [["colour"], ["review", "size"], ["sound"], ["age", "size"], ["size", "review", "colour", "income", "sound", "class"]]
)
def test_steps_that_make_features_are_in_the_script(names: list[str], dtype: str, tmp_path: Path) -> None:
    artifact, columns = artifact_of_columns(dtype, *names, channels_first=dtype == "float64")
    expected = Predictor(artifact).predict(columns).outputs
    (tmp_path / "network.py").write_bytes(formats.write(artifact, "python"))
    told = {name: values if isinstance(values, list) else _listed(values) for name, values in columns.items()}
    given: list[Any] = [told, list(zip(*told.values(), strict=True)) if len(names) > 1 else told[names[0]]]
    for inputs in given:
        answer = json.loads(run(["network.py", "-"], tmp_path, json.dumps(inputs)))
        np.testing.assert_allclose(answer["outputs"], expected, **TOLERANCE[dtype])


def _listed(values: np.ndarray) -> list[Any]:
    """As in JSON: None for NaN."""
    cells = values.astype(object)
    cells[values != values] = None
    return cells.tolist()


def test_cells_of_text_and_empty_cells_are_read_from_csv(tmp_path: Path) -> None:
    artifact, columns = artifact_of_columns("float64", "class", "colour", "review", "age")
    (tmp_path / "network.py").write_bytes(formats.write(artifact, "python"))
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *zip(*map(_listed, map(np.array, columns.values())), strict=True)])
    answer = json.loads(run(["network.py", "rows.csv"], tmp_path))
    np.testing.assert_allclose(answer["outputs"], Predictor(artifact).predict(columns).outputs, rtol=1e-12)


def test_a_script_takes_the_words_for_missing_numbers_and_for_truths_that_a_dataset_takes(tmp_path: Path) -> None:
    cells = [*sorted(WORDS), " NA ", "", "True", "false", "2.5"]
    (tmp_path / "rows.csv").write_text("x,kind\n" + "".join(f"{cell}, {cell}\n" for cell in cells))
    read: Any = read_file(str(tmp_path / "rows.csv"), ["x", "kind"], ["kind"])
    np.testing.assert_array_equal(read["x"], [np.nan] * (len(cells) - 3) + [1.0, 0.0, 2.5])
    assert read["kind"] == [cell.strip() for cell in cells]


def test_an_unknown_category_is_refused_where_predictions_refuse_it(tmp_path: Path) -> None:
    artifact, columns = artifact_of_columns("float32", "colour")
    steps = [{**artifact.preprocessing[0], "unknown": "refuse"}]
    (tmp_path / "network.py").write_bytes(formats.write(replace(artifact, preprocessing=steps), "python"))
    done = subprocess.run(
        [sys.executable, "-I", "network.py", "-"], cwd=tmp_path, input=json.dumps(columns), capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "-: row 2: expected a category of the training rows, got 'blue'\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": [1]}', "missing: "),
        ("[[1, 2]]", "expected 4 numbers in a row, got 2"),
        ("[[1, 2, 3, NaN]]", "expected finite"),
        ("{", "rows.json"),
        ('[[1, 2, 3, 4], [1, 2, 3, "many"]]', "row 2, column 'd': expected numbers, got 'many'"),
        ('{"a": [1], "b": ["x"], "c \\"quoted\\"": [1], "d": [1]}', "row 1, column 'b': expected numbers, got 'x'"),
        ("[[1, 2, 3, 4, 5], [1]]", "expected as many numbers in each row"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_bytes(formats.write(of_columns()[0], "python"))
    (tmp_path / "rows.json").write_text(content)
    done = subprocess.run([sys.executable, "-I", "network.py", "rows.json"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr


HEADER = 'a,b,"c ""quoted""",d'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "and rows under it, got nothing"),
        ("\n \n", "and rows under it, got nothing"),
        (f"{HEADER}\n", "and rows under it, got a line"),
        ("1,2,3,4\n5,6,7,8\n", "expected a first line that names the columns ['a', 'b', 'c \"quoted\"', 'd'], got ['1', '2', '3', '4']"),
        ("a,b,c,d\n5,6,7,8\n", "missing: ['c \"quoted\"']"),
        (f"{HEADER}\n1,2,3,4\n5,many,7,8\n", "row 2, column 'b': expected a number, got 'many'"),
        (f"{HEADER}\n1,2,3\n", "row 1: expected 4 cells, as many as the first line names, got 3"),
    ],
)
def test_what_does_not_fit_in_a_csv_file_is_told_with_its_place(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_bytes(formats.write(of_columns()[0], "python"))
    (tmp_path / "rows.csv").write_text(content)
    done = subprocess.run([sys.executable, "-I", "network.py", "rows.csv"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr


def test_an_input_of_many_numbers_may_lie_in_columns_of_any_names_but_not_of_none(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("p0,p1,p1\n1,2,3\n4,,6\n")
    np.testing.assert_array_equal(np.array(read_file(str(tmp_path / "rows.csv"), ["x"], [])), [[1, 2, 3], [4, np.nan, 6]])
    for content in ("1,2,3\n4,5,6\n", "1,,3\n4,5,6\n", "y\n1\n"):
        (tmp_path / "rows.csv").write_text(content)
        with pytest.raises(ValueError, match=r"expected a first line that names the columns \['x'\]"):
            read_file(str(tmp_path / "rows.csv"), ["x"], [])


def test_names_that_look_like_code_stay_names(tmp_path: Path) -> None:
    hostile = ['"""\nraise SystemExit("run")\n"""', "'); raise SystemExit('run') #", "\\", "{numbers}"]
    artifact, _ = of_columns(loss="softmax_cross_entropy", classes=tuple(hostile[:3]))
    artifact = replace(artifact, input_names=tuple(hostile), target=hostile[0])
    (tmp_path / "network.py").write_bytes(formats.write(artifact, "python"))
    answer = json.loads(run(["network.py", "-"], tmp_path, json.dumps({name: [1.0] for name in hostile})))
    assert answer["labels"][0] in hostile


def test_large_arrays_are_written_exactly(tmp_path: Path) -> None:
    artifact, _ = artifact_and_inputs("conv2d-0", "float32")
    space: dict[str, Any] = {"__name__": "script"}
    source = formats.write(artifact, "python").decode()
    exec(source, space)
    assert "decoded((" in source
    for name, values in artifact.parameters.items():
        assert space["ARRAYS"][name].dtype == np.float32
        np.testing.assert_array_equal(space["ARRAYS"][name], values)


def test_equal_artifacts_give_equal_bytes() -> None:
    one, other = (formats.write(artifact_and_inputs("gru-3", "float32")[0], "python") for _ in range(2))
    assert one == other


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_script_says_how_it_is_used(option: str, tmp_path: Path) -> None:
    artifact, _ = artifact_and_inputs(next(iter(EVERY_NETWORK)), "float32")
    (tmp_path / "network.py").write_bytes(formats.write(artifact, "python"))
    assert "python THIS_FILE rows.csv" in run(["network.py", option], tmp_path)
    without = subprocess.run([sys.executable, "-I", "network.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (without.returncode, without.stdout) == (1, "")
    assert "python THIS_FILE rows.csv" in without.stderr
