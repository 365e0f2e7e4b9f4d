"""Networks that come as files: checked against their definition by names and shapes, then versions as any other."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nncore.formats import importing
from service.store.models import BlobChunk
from tests.service.api.conftest import Service, model_of

LAYERS = {"layers": [{"type": "dense", "units": 3, "activation": "tanh"}, {"type": "dense", "units": 2}]}
CLASSES: dict[str, Any] = {
    "network": LAYERS,
    "inputs": [{"name": "height"}, {"name": "width"}],
    "target": "kind",
    "classes": ["cat", "dog"],
}
ROWS = {"inputs": {"height": [1, 2], "width": [0.5, -1]}}


def tensors(**changed: Any) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    shapes = {"0.weight": (3, 2), "0.bias": (3,), "2.weight": (2, 3), "2.bias": (2,)}
    made = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: values for name, values in {**made, **changed}.items() if values is not None}


def saved(format: str, arrays: dict[str, np.ndarray]) -> bytes:
    if format == "safetensors":
        return bytes(safetensors.numpy.save(arrays))
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def sent(service: Service, file: bytes, definition: Any = CLASSES, *, name: str = "net.bin", key: str | None = None, **parts: Any) -> Any:
    data: dict[str, Any] = {"file": (io.BytesIO(file), name), **parts}
    if definition is not None:
        data["definition"] = definition if isinstance(definition, str | tuple) else json.dumps(definition)
    headers = {} if key is None else {"Idempotency-Key": key}
    return service.api.post("/v1/models/digits/versions", data=data, content_type="multipart/form-data", headers=headers)


@pytest.fixture
def model(service: Service) -> Service:
    assert service.api.post("/v1/models", json={"name": "digits"}).status_code == 201
    return service


@pytest.mark.parametrize("format", ["safetensors", "npz"])
def test_a_file_from_elsewhere_becomes_a_version_that_works(stored_service: Service, format: str) -> None:
    api = stored_service.api
    api.post("/v1/models", json={"name": "digits"})
    file = saved(format, tensors())
    made = sent(stored_service, file, name="folder/net.bin", description="From the laboratory.")
    assert made.status_code == 201, made.text
    assert (made.json["job"], made.json["step"], made.json["version"], made.json["description"]) == (None, None, 1, "From the laboratory.")
    told = made.json["imported"]
    assert (told["file"], told["format"], told["bytes"], told["described"]) == ("net.bin", format, len(file), False)
    assert [each["name"] for each in made.json["signature"]["inputs"]] == ["height", "width"]
    assert made.json["signature"]["loss"] == "softmax_cross_entropy"
    answer = api.post("/v1/models/digits/predict", json=ROWS).json
    x, named = np.array([[1, 0.5], [2, -1]]), tensors()
    logits = np.tanh(x @ named["0.weight"].T + named["0.bias"]) @ named["2.weight"].T + named["2.bias"]
    np.testing.assert_allclose(answer["outputs"], logits, rtol=1e-5)
    assert answer["labels"] == [["cat", "dog"][at] for at in logits.argmax(axis=1)]
    for name in ("safetensors", "npz", "json", "onnx", "python"):
        weights = api.get(f"/v1/models/digits/weights?format={name}")
        assert weights.status_code == 200
        assert "Sankofa-Step" not in weights.headers
    assert api.put("/v1/models/digits/aliases/production", json={"version": 1}, headers={"If-None-Match": "*"}).status_code == 201
    data = stored_service.dataset({"columns": {**ROWS["inputs"], "kind": ["dog", "dog"]}})
    assert api.post("/v1/models/digits/predictions", json={}).json["errors"][0]["pointer"] == "/dataset"
    batch = api.post("/v1/models/digits/predictions?alias=production", json={"dataset": data})
    assert (batch.status_code, batch.json["links"]["network"]) == (202, "/v1/models/digits/versions/1")
    stored_service.work()
    assert api.get(f"/v1/jobs/{batch.json['id']}/predictions").text.splitlines()[0].startswith("label,")
    child = api.post("/v1/jobs", json={"parent": {"model": "digits"}, "dataset": data, "epochs": 2, "validation": None})
    assert child.status_code == 202, child.text
    assert (child.json["parent"]["job"], child.json["parent"]["version"], child.json["parent"]["step"]) == (None, 1, None)
    assert child.json["links"]["parent"] == "/v1/models/digits/versions/1"
    first = api.get(f"/v1/jobs/{child.json['id']}/weights?format=json").json["parameters"]
    assert first == api.get("/v1/models/digits/weights?format=json").json["parameters"]
    stored_service.work()
    assert api.get(f"/v1/jobs/{child.json['id']}").json["state"] == "succeeded"
    assert api.get(f"/v1/jobs/{child.json['id']}/card").json["lineage"][0]["model"] == "digits"
    assert api.delete("/v1/models/digits/aliases/production", headers={"If-Match": "*"}).status_code == 200
    assert api.delete("/v1/models/digits/versions/1").json["freed_bytes"] == made.json["bytes"]


def test_a_file_of_ours_needs_no_definition(service: Service) -> None:
    job = service.job(epochs=2, preprocess=[{"type": "standardize"}])
    service.work()
    model_of(service, job)
    for format in ("safetensors", "npz"):
        file = service.api.get(f"/v1/jobs/{job}/weights?format={format}").get_data()
        made = sent(service, file, None)
        assert (made.status_code, made.json["imported"]["described"]) == (201, True), made.text
        assert made.json["digest"] == service.api.get("/v1/models/digits/versions/1").json["digest"]


def test_fitted_preprocessing_is_applied_and_kept(model: Service) -> None:
    steps = [{"type": "standardize", "columns": {"height": {"offset": [10.0], "scale": [2.0]}, "width": {"offset": [0.0], "scale": [1.0]}}}]
    assert sent(model, saved("npz", tensors())).status_code == 201
    assert sent(model, saved("npz", tensors()), {**CLASSES, "preprocessing": steps}).status_code == 201
    plain = model.api.post("/v1/models/digits/predict?version=1", json={"inputs": {"height": [1], "width": [3]}}).json
    scaled = model.api.post("/v1/models/digits/predict?version=2", json={"inputs": {"height": [12], "width": [3]}}).json
    assert plain["outputs"] == scaled["outputs"]
    data = model.dataset({"columns": {"height": [1, 2], "width": [3, 4], "kind": ["cat", "dog"]}})
    child = model.api.post("/v1/jobs", json={"parent": {"model": "digits", "version": 2}, "dataset": data, "epochs": 1}).json
    assert child["parent"]["preprocessing"] == "kept"
    model.work()
    assert model.api.get(f"/v1/jobs/{child['id']}/weights?format=json").json["preprocessing"] == steps


def test_names_of_a_module_around_it_and_counters_are_passed_over(model: Service) -> None:
    wrapped = {f"net.{name}": values for name, values in tensors().items()} | {"net.1.num_batches_tracked": np.array([7])}
    for format in ("safetensors", "npz"):
        assert sent(model, saved(format, wrapped)).status_code == 201
    half = {name: values.astype(np.float16) for name, values in tensors().items()}
    assert sent(model, saved("npz", half)).json["signature"]["dtype"] == "float32"
    double = {name: values.astype(np.float64) for name, values in tensors().items()}
    assert sent(model, saved("npz", double)).json["signature"]["dtype"] == "float64"


def test_what_a_dense_layer_takes_is_seen_from_its_weights(model: Service) -> None:
    made = sent(model, saved("npz", tensors()), {"network": LAYERS})
    assert made.json["signature"]["inputs"] == [{"name": "x", "item_shape": [2]}]
    assert made.json["signature"]["loss"] == "mean_squared_error"
    convolution = {"layers": [{"type": "conv2d", "filters": 1, "kernel_size": 2}]}
    refused = sent(model, saved("npz", {"0.weight": np.ones((1, 1, 2, 2)), "0.bias": np.ones(1)}), {"network": convolution})
    assert refused.json["errors"][0]["pointer"] == "/definition/input_shape"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"2.weight": np.ones((2, 4), np.float32)}, "2.weight: expected [2, 3], got [2, 4]"),
        ({"2.bias": None}, "2.bias: expected [2], got no such tensor"),
        ({"4.bias": np.ones(2, np.float32)}, "4.bias: belongs to no layer"),
        ({"0.bias": np.array([1, np.nan, 3], np.float32)}, "0.bias: holds NaN or infinity"),
        ({"0.bias": np.array([1, np.inf, 3], np.float32)}, "0.bias: holds NaN or infinity"),
        ({"0.bias": np.array([1, 2, 3], np.int64)}, "0.bias: expected float32 or float64, got int64"),
    ],
)
@pytest.mark.parametrize("format", ["safetensors", "npz"])
def test_a_tensor_that_does_not_fit_is_named(model: Service, format: str, changed: dict[str, Any], said: str) -> None:
    refused = sent(model, saved(format, tensors(**changed)))
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/file")
    assert said in refused.json["detail"]
    with model.store.read() as session:
        assert session.query(BlobChunk).count() == 0


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ("{", "/definition"),
        ("[]", "/definition"),
        ("[" * 100_000, "/definition"),
        ({}, "/definition/network"),
        ({"network": {"layers": []}}, "/definition/network/layers"),
        ({**CLASSES, "classes": ["a", "b", "c"]}, "/definition/classes"),
        ({**CLASSES, "classes": ["a", "a"]}, "/definition/classes"),
        ({**CLASSES, "classes": ["a", "\x00"]}, "/definition/classes"),
        ({**CLASSES, "loss": {"type": "mean_squared_error"}}, "/definition/classes"),
        ({**CLASSES, "inputs": [{"name": "x"}, {"name": "x"}]}, "/definition/inputs"),
        ({**CLASSES, "more": 1}, "/definition/more"),
        ({"network": {"layers": [{"type": "dense", "units": 10**9}]}, "input_shape": [10**6]}, "/definition/network"),
        ({"network": {"layers": [{"type": "flatten"}] * 501}}, "/definition/network/layers"),
    ],
)
def test_what_is_wrong_with_a_definition_is_said(model: Service, definition: Any, pointer: str) -> None:
    refused = sent(model, saved("npz", tensors()), definition)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, pointer), refused.text


def test_a_file_that_is_larger_than_its_network_is_refused_before_it_is_read(model: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_HEADER_BYTES", 1000)
    monkeypatch.setattr(importing, "read", lambda *_: pytest.fail("it was read"))
    large = saved("npz", tensors(**{"9.weight": np.zeros(3_000, np.float32)}))
    refused = sent(model, large, {**CLASSES, "input_shape": [2]})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "too_large")
    assert "at most 1,136 bytes" in refused.json["detail"]


def test_parts_are_those_that_are_known(model: Service) -> None:
    twice = model.api.post("/v1/models/digits/versions", data={"definition": "{}"}, content_type="multipart/form-data")
    assert [error["pointer"] for error in twice.json["errors"]] == ["/file", "/definition/network"]
    odd = sent(model, saved("npz", tensors()), more="1")
    assert [error["code"] for error in odd.json["errors"]] == ["unknown_part"]
    not_text = sent(model, saved("npz", tensors()), (io.BytesIO(b"\xff\xfe"), "definition.json"))
    assert [error["code"] for error in not_text.json["errors"]] == ["not_text"]
    as_file = sent(model, saved("npz", tensors()), (io.BytesIO(json.dumps(CLASSES).encode()), "definition.json"))
    assert as_file.status_code == 201
    assert sent(model, saved("npz", tensors()), None).json["errors"][0]["message"].endswith("send a definition with it")
    long = sent(model, saved("npz", tensors()), description="x" * 10_001)
    assert [error["pointer"] for error in long.json["errors"]] == ["/description"]


def test_the_same_form_makes_one_version(model: Service) -> None:
    file = saved("npz", tensors())
    answers = [sent(model, file, key="once") for _ in range(2)]
    assert [each.json["version"] for each in answers] == [1, 1]
    other = sent(model, saved("npz", tensors(**{"0.bias": np.zeros(3, np.float32)})), key="once")
    assert other.json["code"] == "idempotency_conflict"


def test_another_tenants_model_takes_nothing(model: Service) -> None:
    other = model.caller("other", ["write"])
    data = {"file": (io.BytesIO(saved("npz", tensors())), "net.npz"), "definition": json.dumps(CLASSES)}
    assert other.post("/v1/models/digits/versions", data=data, content_type="multipart/form-data").status_code == 404
    assert sent(model, b"x", key=None).status_code == 422


WHOLE = {format: saved(format, tensors()) for format in ("safetensors", "npz")}
HOSTILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@HOSTILE
@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\x03\x04", b"{", struct.pack("<Q", 40), struct.pack("<Q", 2**63), b"\x80\x04"]))
def test_bytes_that_are_no_network_are_refused(model: Service, data: bytes, head: bytes) -> None:
    assert sent(model, head + data).status_code == 422
    assert sent(model, head + data, None).status_code == 422


@HOSTILE
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.integers(0, 300))
def test_a_damaged_file_is_refused_or_means_numbers(model: Service, format: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(WHOLE[format])
    for place, value in changes:
        data[place % len(data)] = value
    response = sent(model, bytes(data[: len(data) - cut]))
    assert response.status_code in (201, 422), response.text
    if response.status_code == 201:
        assert model.api.post("/v1/models/digits/predict", json=ROWS).status_code in (200, 422)


OURS = {"format": "sankofa-network-1", "network": LAYERS, "loss": "mean_squared_error", "input_names": ["a", "b"], "input_shape": [2]}
OURS |= {"item_shapes": [[], []], "target": "y", "classes": None, "preprocessing": [], "dtype": "float32"}
ODD: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@HOSTILE
@given(st.sampled_from(sorted(OURS)), ODD)
def test_a_description_that_lies_is_refused_or_harmless(model: Service, name: str, value: Any) -> None:
    described = json.dumps({**OURS, name: value})
    file = safetensors.numpy.save(tensors(), metadata={"sankofa": described})
    response = sent(model, file, None)
    assert response.status_code in (201, 422), response.text
    if response.status_code == 201:
        assert model.api.get("/v1/models/digits/card?format=markdown").status_code == 200
    definition = {**CLASSES, {"input_names": "inputs", "item_shapes": "preprocessing"}.get(name, name): value}
    assert sent(model, WHOLE["npz"], definition).status_code in (201, 422)


def test_a_header_that_claims_a_hundred_megabytes_is_not_read(model: Service) -> None:
    refused = sent(model, struct.pack("<Q", 100_000_000) + b"{" * 1000)
    assert "header would be of more than" in refused.json["detail"]
