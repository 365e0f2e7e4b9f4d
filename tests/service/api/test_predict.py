"""Predictions: rows by name or in order, and faults that point at them."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from service.api.predictors import Predictors
from tests.service.api.conftest import Service

DOORS = {"columns": {"height": [1.0, 2.0, 3.0, 4.0] * 5, "width": [1.0, 1.0, 2.0, 2.0] * 5, "kind": ["door", "window", "door", "gate"] * 5}}


@pytest.fixture
def doors(service: Service) -> str:
    """Where a network of two scalar inputs and three named classes answers."""
    network = {"layers": [{"type": "dense", "units": 8, "activation": "relu"}, {"type": "dense", "units": 3}]}
    spec = {"dataset": service.dataset(DOORS), "target": "kind", "network": network, "loss": None, "preprocess": [{"type": "standardize"}]}
    job = service.job(**spec, epochs=60, optimizer={"type": "adam", "learning_rate": 0.05})
    service.work()
    return f"/v1/jobs/{job}/predict"


def test_labels_are_the_names_of_the_classes(service: Service, doors: str) -> None:
    by_name = service.api.post(doors, json={"inputs": {"height": [1, 2, 4], "width": [1, 1, 2]}}).json
    assert by_name["labels"] == ["door", "window", "gate"]
    assert all(abs(sum(row) - 1) < 1e-5 and len(row) == 3 for row in by_name["probabilities"])
    assert service.api.post(doors, json={"inputs": [[1, 1], [2, 1], [4, 2]]}).json == by_name


@pytest.mark.parametrize(
    ("inputs", "pointer"),
    [
        ({"height": [1]}, "/inputs/width"),
        ({"height": [1], "width": [1], "depth": [1]}, "/inputs/depth"),
        ({"height": [1], "width": [1, 2]}, "/inputs/width"),
        ({"height": [1], "width": ["wide"]}, "/inputs/width"),
        ({"height": [1, None], "width": [1, 2]}, "/inputs/height/1"),
        ({"height": 1, "width": 1}, "/inputs/height"),
        ({}, "/inputs/height"),
        ([[1, 2], [3]], "/inputs/1"),
        ([[1, 2], [3, None]], "/inputs/1/1"),
        ([[1, 2], 3], "/inputs/1"),
        ([], "/inputs"),
        (None, "/inputs"),
        (3, "/inputs"),
        ("rows", "/inputs"),
    ],
)
def test_a_fault_points_at_the_value(service: Service, doors: str, inputs: Any, pointer: str) -> None:
    response = service.api.post(doors, json={"inputs": inputs})
    assert response.status_code == 422
    assert pointer in [fault["pointer"] for fault in response.json["errors"]], response.json["errors"]


def test_messages_count_rows_from_1_whichever_way_they_are_sent(service: Service, doors: str) -> None:
    for inputs in ([[1, 2], [3]], [[1, 2], [3, None]], {"height": [1, None], "width": [1, 2]}):
        (fault,) = service.api.post(doors, json={"inputs": inputs}).json["errors"]
        assert fault["message"].startswith("row 2"), fault


def test_a_column_of_items_takes_rows_of_its_shape(service: Service) -> None:
    job = service.job(epochs=2)
    service.work()
    predict = f"/v1/jobs/{job}/predict"
    assert len(service.api.post(predict, json={"inputs": {"x": [[0, 1], [1, 1]]}}).json["outputs"]) == 2
    wrong = service.api.post(predict, json={"inputs": {"x": [[0, 1, 2]]}})
    assert wrong.json["errors"][0]["pointer"].startswith("/inputs/x")
    ragged = service.api.post(predict, json={"inputs": [[0, 1], [1]]})
    assert ragged.json["errors"][0]["pointer"] == "/inputs/1"


def test_a_network_is_loaded_once(service: Service, doors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"inputs": [[1, 1]]}
    first = service.api.post(doors, json=body).json
    monkeypatch.setattr("service.api.predict.Predictor", None)
    assert service.api.post(doors, json=body).json == first


def test_predictors_make_room_for_newer_ones() -> None:
    loaded: list[str] = []

    def get(digest: str, size: int = 10) -> None:
        predictors.get(digest, size, lambda: loaded.append(digest))  # type: ignore[arg-type, func-returns-value]

    predictors = Predictors(max_bytes=25, max_count=3)
    for digest in ("a", "b", "a", "c", "a", "b"):
        get(digest)
    assert loaded == ["a", "b", "c", "b"]
    get("whole house", 1000)
    get("whole house", 1000)
    assert loaded[4:] == ["whole house"], "the largest one is kept too, while it is the newest"


def test_texts_are_answered_as_they_were_trained_on(service: Service) -> None:
    """Categories and sentences go in; a category that nobody knows is named with its row."""
    columns = {
        "colour": ["red", "green", "blue", "red"] * 10,
        "note": ["it stops", "it goes", "it waits", "it never stops"] * 10,
        "go": [0, 1, 1, 0] * 10,
    }
    spec = {
        "dataset": service.dataset({"columns": columns}),
        "inputs": ["colour", "note"],
        "target": "go",
        "network": {"layers": [{"type": "dense", "units": 1}]},
        "loss": None,
        "preprocess": [
            {"type": "one_hot", "columns": ["colour"], "unknown": "refuse"},
            {"type": "bag_of_words", "columns": ["note"], "size": 64},
        ],
    }
    job = service.job(**spec, epochs=60, optimizer={"type": "adam", "learning_rate": 0.05})
    service.work()
    assert service.api.get(f"/v1/jobs/{job}").json["spec"]["item_shapes"] == [None, None]
    url = f"/v1/jobs/{job}/predict"
    answer = service.api.post(url, json={"inputs": {"colour": ["red", "green"], "note": ["it stops", "goes, it goes!"]}})
    assert answer.json["labels"] == [0, 1]
    assert service.api.post(url, json={"inputs": [["red", "it stops"], ["green", "goes, it goes!"]]}).json == answer.json
    response = service.api.post(url, json={"inputs": [["red", "it stops"], ["pink", "goes"]]})
    assert (response.status_code, response.json["errors"][0]["pointer"]) == (422, "/inputs/1/0")


def test_missing_numbers_are_taken_where_they_are_allowed_imputed_and_answered(service: Service) -> None:
    csv = "age,paid,stays\n20,1,0\n,2,0\n40,,1\n60,4,1\n" + "30,1.5,0\n50,3.5,1\n" * 6
    refused = service.api.post("/v1/datasets", data=csv, content_type="text/csv")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "empty_cell")
    made = service.api.post("/v1/datasets?missing=allow", data=csv, content_type="text/csv")
    assert [column["missing"] for column in made.json["columns"]] == [1, 1, 0]
    spec = {"dataset": made.json["id"], "target": "stays", "network": {"layers": [{"type": "dense", "units": 1}]}, "loss": None}
    unfilled = service.api.post("/v1/jobs", json=spec)
    assert (unfilled.status_code, unfilled.json["errors"][0]["code"]) == (422, "missing_numbers")
    steps = [{"type": "impute", "strategy": "median"}, {"type": "standardize"}]
    job = service.job(**spec, preprocess=steps, epochs=100, optimizer={"type": "adam", "learning_rate": 0.05})
    service.work()
    answer = service.api.post(f"/v1/jobs/{job}/predict", json={"inputs": [[20, None], [None, 4], [60, 4]]})
    assert answer.status_code == 200
    assert [label for label, row in zip(answer.json["labels"], "x?x", strict=True) if row == "x"] == [0, 1]


def test_missing_texts_are_taken_where_they_are_allowed_and_answered(service: Service) -> None:
    csv = "plan,stays\n" + "free,0\n,1\n" * 8
    made = service.api.post("/v1/datasets?missing=allow", data=csv, content_type="text/csv")
    spec = {"dataset": made.json["id"], "target": "stays", "network": {"layers": [{"type": "dense", "units": 1}]}, "loss": None}
    steps = [{"type": "one_hot", "unknown": "refuse"}]
    job = service.job(**spec, preprocess=steps, epochs=100, optimizer={"type": "adam", "learning_rate": 0.05})
    service.work()
    url = f"/v1/jobs/{job}/predict"
    answer = service.api.post(url, json={"inputs": {"plan": [None, "free", ""]}})
    assert (answer.status_code, answer.json["labels"]) == (200, [1, 0, 1]), answer.text
    of_file = service.api.post(url, data="plan,n\n,1\nfree,2\n,3\n", content_type="text/csv")
    assert of_file.json == answer.json


def test_a_file_may_miss_every_value_of_a_column_as_rows_of_json_may(service: Service) -> None:
    csv = "n,t,b,stays\n" + "1,a,TRUE,0\n,,FALSE,1\n3,b,TRUE,0\n" * 4
    made = service.api.post("/v1/datasets?missing=allow", data=csv, content_type="text/csv")
    spec = {"dataset": made.json["id"], "target": "stays", "network": {"layers": [{"type": "dense", "units": 1}]}, "loss": None}
    job = service.job(**spec, preprocess=[{"type": "impute", "columns": ["n"]}, {"type": "one_hot", "columns": ["t"]}], epochs=5)
    service.work()
    url = f"/v1/jobs/{job}/predict"
    for text, rows in (
        ("n,t,b\nNA,a,TRUE\n", [[None, "a", 1]]),
        ("n,t,b\n,a,TRUE\n", [[None, "a", 1]]),
        ("n,t,b\n-,a,TRUE\n?,b,FALSE\n", [[None, "a", 1], [None, "b", 0]]),
        ("n,t,b\n1,,TRUE\n2,,FALSE\n", [[1, None, 1], [2, None, 0]]),
        ("n,t,b,stays,note\n,,TRUE,,NA\n", [[None, None, 1]]),
        ("n,t,b\n1,NA,TRUE\n", [[1, "NA", 1]]),
    ):
        of_file = service.api.post(url, data=text, content_type="text/csv")
        of_rows = service.api.post(url, json={"inputs": rows})
        assert (of_file.status_code, of_file.json) == (of_rows.status_code, of_rows.json), (text, of_file.text)
        assert of_file.status_code == 200
    refused = service.api.post(url, data="n,t,b\n1,a,NA\n", content_type="text/csv")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "missing_number"), "b was not imputed"
    refused = service.api.post(url, data="n,t,b\nmany,a,TRUE\n", content_type="text/csv")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "text_input")


NPZ = "application/x-npz"


def test_rows_may_come_as_csv_as_npz_and_as_a_dataset(service: Service, doors: str) -> None:
    expected = service.api.post(doors, json={"inputs": {"height": [1, 2, 4], "width": [1, 1, 2]}}).json
    text = "width,comment,height\n1,a,1\n1,b,2\n2,c,4\n"
    assert service.api.post(doors, data=text, content_type="text/csv").json == expected
    packed = io.BytesIO()
    np.savez(packed, height=np.array([1.0, 2, 4]), width=np.array([1, 1, 2]))
    assert service.api.post(doors, data=packed.getvalue(), content_type=NPZ).json == expected
    dataset = service.dataset({"columns": {"height": [1, 2, 4], "width": [1, 1, 2], "owner": ["x", "y", "z"]}})
    assert service.api.post(doors, json={"dataset": dataset}).json == expected
    assert expected["classes"] == ["door", "gate", "window"]
    assert expected["target"] == "kind"


def test_answers_come_as_csv_and_as_npz(service: Service, doors: str) -> None:
    body = {"inputs": {"height": [1, 2, 4], "width": [1, 1, 2]}}
    expected = service.api.post(doors, json=body).json
    table = service.api.post(doors, json=body, headers={"Accept": "text/csv"})
    assert table.mimetype == "text/csv"
    lines = list(csv.DictReader(io.StringIO(table.text)))
    assert [line["label"] for line in lines] == expected["labels"]
    assert [[float(line[f"probability.{name}"]) for name in expected["classes"]] for line in lines] == [
        pytest.approx(row) for row in expected["probabilities"]
    ]
    arrays = np.load(io.BytesIO(service.api.post(f"{doors}?format=npz", json=body).data), allow_pickle=False)
    assert {name: arrays[name].tolist() for name in ("labels", "classes")} == {name: expected[name] for name in ("labels", "classes")}
    np.testing.assert_allclose(arrays["outputs"], expected["outputs"], rtol=1e-6)
    assert service.api.post(doors, json=body, headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("text", "pointer", "words"),
    [
        ("height,width\n1,1\n2,\n", "/inputs/width/1", "row 2: a number is missing in column"),
        ("height,width\n1,1\n2,wide\n", "/inputs/width/1", "row 2"),
        ("height,width\nx,1\ny,1\n", "/inputs/height", "expected numbers, got text"),
        ("height\n1\n", "/inputs/width", "missing"),
        ("height,width\n1,1\n2\n", "/inputs/1", "row 2"),
        ("\n", "/inputs", "empty"),
    ],
)
def test_a_fault_of_a_file_names_row_and_column(service: Service, doors: str, text: str, pointer: str, words: str) -> None:
    response = service.api.post(doors, data=text, content_type="text/csv")
    assert response.status_code == 422
    assert (response.json["errors"][0]["pointer"], words in response.json["errors"][0]["message"]) == (pointer, True), response.json


def test_more_rows_than_are_answered_at_once_are_a_job(service: Service, doors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.predict.MOST_ROWS", 2)
    dataset = service.dataset({"columns": {"height": [1, 2, 4], "width": [1, 1, 2]}})
    for body in ({"dataset": dataset}, {"inputs": [[1, 1]] * 3}, {"inputs": {"height": [1, 2, 3], "width": [1, 1, 1]}}):
        refused = service.api.post(doors, json=body)
        assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "too_many_rows")
        assert "/predictions" in refused.json["errors"][0]["message"]


def test_a_target_is_answered_in_its_own_unit(service: Service) -> None:
    columns = {"x": [0, 1, 2, 3] * 5, "price": [1e5, 2e5, 3e5, 4e5] * 5}
    network = {"layers": [{"type": "dense", "units": 1}]}
    spec = {"dataset": service.dataset({"columns": columns}), "target": "price", "network": network, "loss": None}
    job = service.job(**spec, epochs=200, optimizer={"type": "adam", "learning_rate": 0.05}, preprocess_target={"type": "min_max"})
    service.work()
    answer = service.api.post(f"/v1/jobs/{job}/predict?format=csv", json={"inputs": [0, 3]})
    name, first, second = answer.text.split()
    assert (name, float(first), float(second)) == ("price", pytest.approx(1e5, abs=3e3), pytest.approx(4e5, abs=3e3))


def test_a_file_of_numbers_is_one_item_of_them_where_there_is_one_input(service: Service) -> None:
    job = service.job(epochs=2)
    service.work()
    predict = f"/v1/jobs/{job}/predict"
    expected = service.api.post(predict, json={"inputs": {"x": [[0, 1], [1, 1]]}}).json
    assert service.api.post(predict, data="0,1\n1,1\n", content_type="text/csv").json == expected
