"""Tables in the forms in which a program has them reach the service as files that it reads."""

from __future__ import annotations

import io
from importlib.util import find_spec

import numpy as np
import pytest

from sankofa import InvalidInput
from tests.sankofa.fake_service import DATASET, Answer, FakeService, job_document

X, LABELS = np.arange(6, dtype=np.float32).reshape(3, 2), np.array(["a", "b", "a"])


def sent(table, **options):
    service = FakeService(Answer(201, DATASET))
    service.client().datasets.upload(table, **options)
    return service.requests[0]


def test_arrays_go_as_an_npz():
    request = sent({"x": X, "y": LABELS}, name="pairs")
    assert (request.headers["content-type"], request.query["name"]) == ("application/x-npz", "pairs")
    found = np.load(io.BytesIO(request.body), allow_pickle=False)
    assert np.array_equal(found["x"], X)
    assert np.array_equal(found["y"], LABELS)


def test_lists_go_as_json():
    assert sent({"x": X.tolist(), "y": LABELS}).json["columns"] == {"x": X.tolist(), "y": ["a", "b", "a"]}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_goes_column_by_column(library):
    frames = pytest.importorskip(library, reason=f"no {library}")
    numbers = frames.DataFrame({"a": [1.5, 2.5], "b": [1, 2]})
    found = np.load(io.BytesIO(sent(numbers).body), allow_pickle=False)
    assert (found["a"].tolist(), found["b"].tolist()) == ([1.5, 2.5], [1, 2])
    assert sent(frames.DataFrame({"a": [1.5, 2.5], "y": ["u", "v"]})).json["columns"] == {"a": [1.5, 2.5], "y": ["u", "v"]}


def frames_with_gaps():
    """Frames in which a number, a whole number and a text are missing."""
    if find_spec("pandas"):
        import pandas

        text = pandas.DataFrame({"a": [1.5, None], "n": pandas.array([1, None], dtype="Int64"), "y": ["u", None]})
        yield "pandas", text
        yield "pandas objects", text.astype({"y": object})
        yield "columns of pandas", {name: text[name] for name in text.columns}
    if find_spec("polars"):
        import polars

        yield "polars None", polars.DataFrame({"a": [1.5, None], "n": [1, None], "y": ["u", None]})
        yield "polars NaN", polars.DataFrame({"a": [1.5, float("nan")], "n": [1, None], "y": ["u", None]})
    yield "lists", {"a": [1.5, float("nan")], "n": [1, None], "y": ["u", None]}
    yield "arrays beside text", {"a": np.array([1.5, np.nan]), "n": [np.int64(1), None], "y": ["u", None]}


@pytest.mark.parametrize(("name", "frame"), list(frames_with_gaps()), ids=lambda value: value if isinstance(value, str) else "")
def test_whatever_stands_for_a_missing_value_becomes_null_where_that_is_allowed(name, frame):
    request = sent(frame, missing="allow")
    assert (request.query, request.json["columns"]) == ({"missing": "allow"}, {"a": [1.5, None], "n": [1, None], "y": ["u", None]})


@pytest.mark.parametrize(("name", "frame"), list(frames_with_gaps())[-2:], ids=lambda value: value if isinstance(value, str) else "")
def test_where_it_is_not_allowed_column_and_row_are_named_with_the_remedy(name, frame):
    with pytest.raises(InvalidInput) as refused:
        sent(frame)
    assert str(refused.value) == (
        "column 'a', row 2: expected a number or a text, got nan, a missing value; "
        'fill it in, leave the row out, or allow it: missing="allow"'
    )


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_truths_of_a_frame_are_numbers_or_true_and_false_never_texts(library):
    frames = pytest.importorskip(library, reason=f"no {library}")
    assert sent(frames.DataFrame({"a": [True, False], "y": ["u", "v"]})).json["columns"]["a"] == [True, False]
    assert sent(frames.DataFrame({"a": [True, None], "y": ["u", "v"]}), missing="allow").json["columns"]["a"] == [True, None]


def test_an_array_alone_becomes_the_column_x():
    found = np.load(io.BytesIO(sent(np.ones((4, 3))).body), allow_pickle=False)
    assert (found.files, found["x"].shape) == (["x"], (4, 3))


@pytest.mark.parametrize(("table", "got"), [([[1, 2]], "a list"), (None, "NoneType"), (7, "int")])
def test_what_is_no_table_is_refused_with_what_to_send(table, got):
    with pytest.raises(InvalidInput, match=rf'columns by name, as {{"x": array, "y": labels}}; got {got}'):
        FakeService().client().datasets.upload(table)


@pytest.mark.parametrize("data", [np.ones((4, 3)), [[1, 2], [3, 4]]])
def test_a_job_cannot_learn_from_an_array_alone(data):
    with pytest.raises(InvalidInput, match=r"""expected inputs and a target by name, as {"x": array, 'kind': labels}; got a"""):
        FakeService().client().train([], data, "kind")
    with pytest.raises(InvalidInput, match=r"expected inputs and a target by name"):
        FakeService().client().fork("job_1", data=data)


def test_train_fork_and_predict_all_pass_missing_to_the_upload():
    job = job_document("queued")
    service = FakeService(*[Answer(201, DATASET), Answer(202, job)] * 4)
    client = service.client()
    client.train([], {"x": [1, None], "y": [1, 2]}, "y", missing="allow")
    client.fork("job_1", data={"x": [1, None]}, missing="allow")
    client.models.predict_all("digits@1", {"x": [1, None]}, missing="allow")
    assert [request.query.get("missing") for request in service.requests[::2]] == ["allow"] * 3
    assert "missing" not in service.requests[1].json


def test_an_upload_says_whether_it_made_the_dataset_and_shows_it_in_a_line():
    client = FakeService(Answer(201, DATASET), Answer(200, {**DATASET, "name": None}), Answer(200, DATASET)).client()
    made, again, read = client.datasets.upload(b"x,y\n"), client.datasets.upload(b"x,y\n"), client.datasets.get("ds_1")
    assert (made.created, again.created, read.created) == (True, False, None)
    assert repr(made) == "<Dataset ds_1 'xor': 4 rows, 2 columns (x, y)>"
    assert repr(again) == "<Dataset ds_1: 4 rows, 2 columns (x, y); it was there before>"


def test_a_file_is_named_without_its_ending(tmp_path):
    path = tmp_path / "digits.npz"
    np.savez(path, x=X)
    request = sent(path)
    assert (request.query["name"], request.body) == ("digits", path.read_bytes())


def test_what_a_mask_hides_is_missing():
    masked = np.ma.array(np.array([1, 7, 3], np.float32), mask=[0, 1, 0])
    for table in (masked, {"x": masked}, {"x": masked.astype(int)}, {"x": np.ma.array([True, False, True], mask=masked.mask)}):
        found = np.load(io.BytesIO(sent(table, missing="allow").body), allow_pickle=False)["x"]
        assert np.isnan(found).tolist() == [False, True, False]
        with pytest.raises(InvalidInput, match="column 'x', row 2: expected a number or a text, got nan, a missing value"):
            sent(table)
    assert found[[0, 2]].tolist() == [1, 1]
    texts = {"x": np.ma.array(["a", "b"], mask=[1, 0]), "y": [1, 2]}
    assert sent(texts, missing="allow").json["columns"] == {"x": [None, "b"], "y": [1, 2]}
    whole = np.load(io.BytesIO(sent({"x": np.ma.array([1, 2])}).body), allow_pickle=False)
    assert whole["x"].tolist() == [1, 2]
    service = FakeService(Answer(200, job_document("succeeded")), Answer(200, {"outputs": [[1.0]]}))
    service.client().job("job_1").predict({"x": masked})
    assert service.requests[1].json == {"inputs": {"x": [1, None, 3]}}


@pytest.mark.parametrize("cells", [[[1, 2], [3, 4]], [[1, "a"], [3, "b"]]])
def test_a_frame_whose_columns_share_a_name_is_refused(cells):
    pandas = pytest.importorskip("pandas", reason="no pandas")
    for names in (["a", "a"], [1, "1"]):
        with pytest.raises(InvalidInput, match=f"column '{names[1]}': expected names that differ, got this one 2 times in the frame"):
            sent(pandas.DataFrame(cells, columns=names))


def test_a_lazy_frame_is_collected():
    polars = pytest.importorskip("polars", reason="no polars")
    assert sent(polars.LazyFrame({"a": [1.5, 2.5], "y": ["u", "v"]})).json["columns"] == {"a": [1.5, 2.5], "y": ["u", "v"]}


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.array(5.0), r"got an array without rows, of shape \(\) and dtype float64"),
        (np.array([1, "a"], dtype=object), "got an array of dtype object; make it one of numbers, booleans or texts"),
        (np.array([1j]), "got an array of dtype complex128"),
        (np.zeros(2, [("a", float), ("b", int)]), "got a structured array of dtype .*; send its fields as columns: "),
    ],
)
def test_of_an_array_that_cannot_be_sent_it_is_told_what_is_wrong_with_it(array, got):
    with pytest.raises(InvalidInput, match=got):
        sent(array)
    if array.dtype.kind in "fV":
        with pytest.raises(InvalidInput, match=f"column 'x': expected a list or an array, {got}"):
            sent({"x": array, "y": ["u"]})


@pytest.mark.parametrize("identifier", [None, 7, ""])
def test_what_is_no_id_is_refused_before_anything_is_sent(identifier):
    client = FakeService().client()
    for asked in (client.job, client.cross_validation, client.datasets.get, client.tenants.get):
        with pytest.raises(InvalidInput, match=r"expected the id of a .*, a text; got"):
            asked(identifier)
