"""Tables in the forms in which a program has them reach the service as files that it reads."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.sankofa.fake_service import DATASET, Answer, FakeService

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


def test_a_file_is_named_without_its_ending(tmp_path):
    path = tmp_path / "digits.npz"
    np.savez(path, x=X)
    request = sent(path)
    assert (request.query["name"], request.body) == ("digits", path.read_bytes())
