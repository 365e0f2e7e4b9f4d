"""Weights: formats, parts, conditions, and jobs that have not ended."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from nncore.formats import FORMATS
from tests.service.api.conftest import Service


@pytest.fixture
def weights(service: Service) -> str:
    """Where the weights of a trained job are."""
    job = service.job(epochs=5)
    service.work()
    return f"/v1/jobs/{job}/weights"


def get(service: Service, path: str, **headers: str) -> Any:
    return service.api.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("name", FORMATS)
def test_the_tag_is_the_digest_and_the_bytes_are_always_the_same(service: Service, weights: str, name: str) -> None:
    first, again = (service.api.get(f"{weights}?format={name}") for _ in range(2))
    assert first.get_data() == again.get_data()
    assert first.headers["ETag"] == f'"{hashlib.sha256(first.get_data()).hexdigest()}"'
    assert get(service, f"{weights}?format={name}", If_None_Match=first.headers["ETag"]).status_code == 304


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "safetensors"),
        ("*/*", "safetensors"),
        ("application/x-npz", "npz"),
        ("application/json;q=0.5, application/x-npz;q=0.9", "npz"),
        ("application/json", "json"),
        ("application/*", "safetensors"),
        ("text/html, */*;q=0.1", "safetensors"),
    ],
)
def test_the_format_is_the_one_that_is_accepted(service: Service, weights: str, accept: str, name: str) -> None:
    assert get(service, weights, Accept=accept).mimetype == FORMATS[name].media_type  # type: ignore[index]


def test_a_format_that_is_not_there_is_refused_with_those_that_are(service: Service, weights: str) -> None:
    refused = get(service, weights, Accept="image/png")
    assert (refused.status_code, refused.json["available"]) == (406, [each.media_type for each in FORMATS.values()])
    unknown = service.api.get(f"{weights}?format=pickle")
    assert unknown.status_code == 422
    assert "safetensors" in unknown.json["errors"][0]["expected"]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=3-3", slice(3, 4)),
        ("bytes=-999999", slice(0, None)),
        ("bytes=7-999999", slice(7, None)),
    ],
)
def test_a_part_is_the_part_of_the_whole(service: Service, weights: str, asked: str, part: slice) -> None:
    whole = service.api.get(weights)
    answer = get(service, weights, Range=asked)
    content = whole.get_data()
    start, stop, _ = part.indices(len(content))
    assert (answer.status_code, answer.get_data()) == (206, content[part])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert int(answer.headers["Content-Length"]) == stop - start


def test_parts_put_together_are_the_whole(service: Service, weights: str) -> None:
    whole = service.api.get(weights).get_data()
    half = len(whole) // 2
    parts = [get(service, weights, Range=asked).get_data() for asked in (f"bytes=0-{half - 1}", f"bytes={half}-")]
    assert b"".join(parts) == whole


def test_a_part_beyond_the_end_is_refused_with_the_size(service: Service, weights: str) -> None:
    size = len(service.api.get(weights).get_data())
    answer = get(service, weights, Range=f"bytes={size}-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("asked", ["bytes=9-3", "rows=1-2", "bytes=a-b", "bytes=0-1,4-5", "bytes=" + "9" * 5000 + "-"])
def test_a_range_that_is_none_does_no_harm(service: Service, weights: str, asked: str) -> None:
    assert get(service, weights, Range=asked).status_code in (200, 416)


def test_a_part_of_another_file_is_not_given(service: Service, weights: str) -> None:
    whole = service.api.get(weights)
    assert get(service, weights, Range="bytes=0-3", If_Range=whole.headers["ETag"]).status_code == 206
    answer = get(service, weights, Range="bytes=0-3", If_Range='"other"')
    assert (answer.status_code, answer.get_data()) == (200, whole.get_data())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_in_parts_under_its_own_tag(service: Service, weights: str, name: str) -> None:
    path = f"{weights}?format={name}"
    whole, head = service.api.get(path), service.api("HEAD", path, headers={"Range": "bytes=0-3"})
    content, tag = whole.get_data(), whole.headers["ETag"]
    part = get(service, path, Range="bytes=4-9", If_Range=tag)
    assert (part.status_code, part.get_data(), part.headers["ETag"]) == (206, content[4:10], tag)
    assert (head.status_code, head.headers["ETag"], int(head.headers["Content-Length"])) == (200, tag, len(content))
    assert get(service, path, Range=f"bytes={len(content)}-").status_code == 416
    other = get(service, path, Range="bytes=4-9", If_Range=f"W/{tag}")  # a weak tag says nothing of bytes
    assert (other.status_code, other.get_data()) == (200, content)


def test_head_tells_without_sending(service: Service, weights: str) -> None:
    whole, head = service.api.get(weights), service.api("HEAD", weights)
    assert head.get_data() == b""
    for name in ("ETag", "Content-Length", "Content-Type", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == whole.headers[name]


def test_a_snapshot_that_is_not_there_is_named_with_those_that_are(service: Service, weights: str) -> None:
    answer = service.api.get(f"{weights}?snapshot=4000")
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_snapshot")
    assert "best, last, 5" in answer.json["detail"]
    assert service.api.get(f"{weights}?snapshot=worst").status_code == 422


def test_a_job_that_never_ran_has_no_weights(service: Service) -> None:
    job = service.job()
    answer = service.api.get(f"/v1/jobs/{job}/weights")
    assert (answer.status_code, answer.json["code"], answer.json["state"]) == (409, "no_snapshot", "queued")


def test_a_paused_job_answers_from_its_newest_checkpoint(stored_service: Service) -> None:
    job = stored_service.job(epochs=1_000_000)
    stored_service.work_a_little()
    stored_service.api.post(f"/v1/jobs/{job}/pause")
    first = stored_service.api.get(f"/v1/jobs/{job}/weights?snapshot=last")
    assert first.status_code == 200
    step = int(first.headers["Sankofa-Step"])
    assert step == stored_service.api.get(f"/v1/jobs/{job}").json["progress"]["step"] > 0
    assert stored_service.api.get(f"/v1/jobs/{job}/weights?snapshot={step}").get_data() == first.get_data()
    assert stored_service.api.post(f"/v1/jobs/{job}/predict", json={"inputs": [[0, 1]]}).status_code == 200
    stored_service.api.post(f"/v1/jobs/{job}/resume")
    stored_service.work_a_little()
    later = stored_service.api.get(f"/v1/jobs/{job}/weights?snapshot=last")
    assert int(later.headers["Sankofa-Step"]) > step
    assert later.headers["ETag"] != first.headers["ETag"]


def test_what_a_job_has_reached_is_listed_with_its_metrics_before_it_ends(stored_service: Service) -> None:
    job = stored_service.job(epochs=1_000_000)
    address = f"/v1/jobs/{job}/snapshots"
    assert stored_service.api.get(address).json["data"] == []
    stored_service.work_a_little()
    stored_service.api.post(f"/v1/jobs/{job}/stop")
    found = stored_service.api.get(address).json["data"]
    assert found[0]["best"]
    assert found[-1]["last"]
    for each in found:
        file = stored_service.api.get(f"/v1/jobs/{job}/weights?snapshot={each['step']}")
        assert file.headers["ETag"] == f'"{each["digest"].removeprefix("sha256:")}"'
        assert (len(file.get_data()), each["loss"] > 0) == (each["bytes"], True)
    assert "accuracy" in found[0]["metrics"]


def test_a_cancelled_job_kept_nothing(service: Service) -> None:
    job = service.job(epochs=1_000_000)
    service.work_a_little()
    service.api.post(f"/v1/jobs/{job}/cancel")
    answer = service.api.get(f"/v1/jobs/{job}/weights")
    assert (answer.status_code, answer.json["state"]) == (409, "cancelled")


ROWS = [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_the_script_answers_as_predictions_do(service: Service, weights: str) -> None:
    expected = service.api.post(weights.replace("weights", "predict"), json={"inputs": ROWS}).json
    space: dict[str, Any] = {"__name__": "script"}
    exec(service.api.get(f"{weights}?format=python").get_data(as_text=True), space)
    answers = {name: values.tolist() for name, values in space["predict"](ROWS).items()}
    assert answers["labels"] == expected["labels"]
    assert answers["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)


@pytest.mark.oracle
def test_the_graph_answers_as_predictions_do(service: Service, weights: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
    expected = service.api.post(weights.replace("weights", "predict"), json={"inputs": ROWS}).json
    session = runtime.InferenceSession(service.api.get(f"{weights}?format=onnx").get_data(), providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"inputs": np.array(ROWS, np.float32)})
    np.testing.assert_allclose(logits, expected["outputs"], atol=1e-5)
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-6)


def test_a_step_that_a_graph_cannot_express_is_refused_with_the_way_out(service: Service) -> None:
    columns = {"text": ["good film", "bad film", "good play", "bad play"], "y": [1, 0, 1, 0]}
    layers = [{"type": "dense", "units": 1}]
    dataset = service.api.post("/v1/datasets", json={"columns": columns}).json["id"]
    job = service.job(dataset=dataset, network={"layers": layers}, inputs=["text"], preprocess=[{"type": "bag_of_words", "size": 8}])
    service.work()
    refused = service.api.get(f"/v1/jobs/{job}/weights?format=onnx")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "not_exported")
    assert "take the format python" in refused.json["errors"][0]["message"]
    assert service.api.get(f"/v1/jobs/{job}/weights?format=python").status_code == 200
