"""Files of trained networks: canonical, exact, and read with suspicion."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore import formats
from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.network import NetworkSpec

READ = [name for name, format in formats.FORMATS.items() if format.read is not None]


def artifact(dtype: str = "float32", seed: int = 0, order: str = "C") -> Artifact:
    network = NetworkSpec.model_validate(
        {"layers": [{"type": "dense", "units": 5, "activation": "tanh"}, {"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 3}]}
    )
    generator = np.random.default_rng(seed)
    parameters = {
        info.name: np.asarray(generator.normal(size=info.shape) * 10.0 ** generator.integers(-30, 30), dtype=dtype, order=order)
        for info in network.parameters((4,))
    }
    fitted = [{"type": "standardize", "columns": {"a": {"offset": [0.1, 0.2, 0.3], "scale": [1.0, 2.0, 3.0]}}}]
    return Artifact(
        network, "softmax_cross_entropy", ("a", "b"), (4,), "kind", ("é", "plain", '"quoted"'), fitted, dtype, parameters, ((3,), ())
    )  # fmt: skip


KINDS = {"type": "one_hot", "unknown": "refuse", "columns": {"b": {"categories": ["é", None]}}}


def of_kinds() -> Artifact:
    return replace(artifact(), item_shapes=((2,), None), preprocessing=[KINDS])


@pytest.mark.parametrize("format", READ)
def test_inputs_of_text_travel_with_the_step_that_makes_numbers_of_them(format):
    assert equal(formats.read(formats.write(of_kinds(), format)), of_kinds())


def equal(one: Artifact, other: Artifact) -> bool:
    same_fields = all(
        getattr(one, name) == getattr(other, name)
        for name in ("network", "loss", "input_names", "item_shapes", "input_shape", "target", "classes", "preprocessing", "dtype")
    )
    same_arrays = all(
        np.array_equal(one.parameters[name], other.parameters[name]) and one.parameters[name].dtype == other.parameters[name].dtype
        for name in one.parameters.keys() | other.parameters.keys()
    )
    return same_fields and same_arrays and list(one.parameters) == list(other.parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("format", READ)
def test_what_is_read_is_exactly_what_was_written(format, dtype):
    original = artifact(dtype)
    assert equal(formats.read(formats.write(original, format)), original)


@pytest.mark.parametrize("format", formats.FORMATS)
def test_equal_artifacts_give_equal_bytes_and_different_ones_do_not(format, monkeypatch):
    data = formats.write(artifact(), format)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert formats.write(artifact(), format) == data
    assert formats.write(artifact(seed=1), format) != data


@pytest.mark.parametrize("format", READ)
def test_what_was_read_is_written_as_it_was(format):
    data = formats.write(artifact(), format)
    assert formats.write(formats.read(data), format) == data


@pytest.mark.parametrize("format", formats.FORMATS)
def test_the_memory_layout_of_a_parameter_does_not_show(format):
    assert formats.write(artifact(order="F"), format) == formats.write(artifact(), format)


def test_numpy_reads_the_npz_without_pickle():
    original = artifact()
    with np.load(io.BytesIO(formats.write(original, "npz")), allow_pickle=False) as arrays:
        assert sorted(arrays) == sorted([*original.parameters, "sankofa"])
        assert all(np.array_equal(arrays[name], values) for name, values in original.parameters.items())
        assert json.loads(arrays["sankofa"].tobytes())["classes"] == ["é", "plain", '"quoted"']


def test_numpy_alone_computes_the_outputs_from_the_json():
    original = artifact()
    content = json.loads(formats.write(original, "json"))
    weight = {name: np.array(values, dtype=np.float32) for name, values in content["parameters"].items()}
    assert all(np.array_equal(weight[name], values) for name, values in original.parameters.items())
    assert content["network"]["layers"][0] == {"type": "dense", "units": 5, "activation": "tanh", "use_bias": True}


def test_given_initial_parameters_do_not_travel():
    given = {"layers": [{"type": "dense", "units": 1, "weight": [[3.0]], "bias": [0.25]}]}
    parameters = {"0.weight": np.ones((1, 1), np.float32), "0.bias": np.ones(1, np.float32)}
    trained = Artifact(NetworkSpec.model_validate(given), "mean_squared_error", ("x",), (1,), "y", None, [], "float32", parameters)
    for format in READ:
        (layer,) = formats.read(formats.write(trained, format)).network.layers
        assert layer.weight is None
        assert layer.bias is None


@pytest.mark.oracle
def test_the_weights_load_into_the_equal_torch_sequential_and_answer_alike():
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load
    nn = torch.nn
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 7, "activation": "tanh"}, {"type": "dense", "units": 3}]})
    generator = np.random.default_rng(5)
    parameters = {info.name: generator.normal(size=info.shape) for info in network.parameters((4,))}
    trained = Artifact(network, "mean_squared_error", ("x",), (4,), "y", None, [], "float64", parameters)

    model = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    model.load_state_dict(load(formats.write(trained, "safetensors")), strict=True)
    with np.load(io.BytesIO(formats.write(trained, "npz")), allow_pickle=False) as arrays:
        from_npz = {name: torch.from_numpy(arrays[name]) for name in arrays if name != "sankofa"}
    assert from_npz.keys() == model.state_dict().keys()

    inputs = generator.normal(size=(10, 4))
    expected = np.tanh(inputs @ parameters["0.weight"].T + parameters["0.bias"]) @ parameters["2.weight"].T + parameters["2.bias"]
    assert np.allclose(model(torch.from_numpy(inputs)).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def rewritten(change: dict[str, Any] | None = None, **parameters: Any) -> bytes:
    """The JSON file of the artifact, with some of its fields and parameters replaced."""
    content = json.loads(formats.write(artifact(), "json"))
    content["parameters"].update({name.replace("_", "."): values for name, values in parameters.items()})
    return json.dumps({**content, **(change or {})}).encode()


def scaled(offset: list[float], scale: list[float]) -> bytes:
    """The same with a step fitted to column a."""
    return rewritten({"preprocessing": [{"type": "min_max", "columns": {"a": {"offset": offset, "scale": scale}}}]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty file"),
        (b"hello, world", "not a safetensors file"),
        (struct.pack("<Q", 2**60) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 2) + b"{}", 'no metadata "sankofa"'),
        (b"{}", 'no "parameters"'),
        (b"[" * 100_000, "not a safetensors file"),
        (b'{"a":' + b"[" * 100_000, "cannot be read"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"PK\x03\x04" + bytes(50), "npz file is damaged"),
        (rewritten({"format": "other"}), "/format"),
        (rewritten({"network": {"layers": [{"type": "dense", "units": 10**30}]}}), "impossible size"),
        (rewritten({"network": {"layers": [{"type": "dense", "units": 5}, {"type": "secret"}]}}), "/network/layers/1/type"),
        (rewritten({"input_shape": [-4]}), "come to 4 numbers in a row, expected -4|impossible"),
        (scaled([1], [0]), "/preprocessing/0/columns/a/scale/0"),
        (scaled([1], [1]), r"column 'a' is of \[1\] features, expected 3"),
        (scaled([1, 2, 3], [1]), r"column 'a' is of \[1, 3\] features, expected 3"),
        (rewritten({"item_shapes": [[3], None]}), "'b' holds text, and no step makes numbers of it"),
        (rewritten({"item_shapes": [[3]]}), "2 inputs, but 1 shapes"),
        (rewritten({"item_shapes": [[3], [2]]}), "come to 5 numbers in a row, expected 4"),
        (rewritten({"input_names": ["b", "c"]}), "column 'a', which is no input"),
        (rewritten({"preprocessing": [{**KINDS, "columns": {"b": {"categories": ["x"]}}}]}), "one_hot of column 'b'"),
        (rewritten({"preprocessing": [KINDS, KINDS], "item_shapes": [[3], None]}), "made twice of column 'b'"),
        (rewritten({"parameters": {}}), "parameter '0.bias' is missing"),
        (rewritten(**{"9_weight": [1]}), "parameter '9.weight' does not belong"),
        (rewritten(**{"0_bias": [1, 2]}), r"parameter '0.bias': expected lists of the shape \(5,\)"),
        (rewritten(**{"0_bias": [1, 2, 3, 4, "5"]}), "parameter '0.bias': expected numbers only"),
        (rewritten(**{"0_bias": [1, 2, 3, 4, 10**400]}), "parameter '0.bias' holds a number beyond"),
        (rewritten(**{"0_bias": [1, 2, 3, 4, 1e39]}), "parameter '0.bias' holds NaN or infinity"),
        (rewritten(**{"0_bias": [1, 2, 3, 4, float("nan")]}), "parameter '0.bias' holds NaN or infinity"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(data, message):
    with pytest.raises(InvalidFile, match=message):
        formats.read(data)


def npz_of(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


class Canary:
    """Pickled, it calls for help when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def header_only(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"x.npy": npy(np.array([Canary()], dtype=object))}, "holds object"),
        ({"x.npy": header_only("(1099511627776, 8)")}, "claims the shape"),
        ({"x.npy": header_only("(-1, -4)")}, "claims the shape"),
        ({"x.npy": header_only("(0,)")}, "claims the shape"),
        ({"x.npy": header_only("(" * 200)}, "not an array"),
        ({"x.npy": b"nonsense"}, "not an array"),
        ({"x.npy": npy(np.array(["a"]))}, "holds <U1"),
        ({"x.npy": npy(np.zeros(3, np.float32))}, 'no entry "sankofa"'),
        ({"sankofa.npy": npy(np.zeros(3, np.float32))}, 'no entry "sankofa"'),
        ({"sankofa.npy": npy(np.frombuffer(b"{}", np.uint8))}, "/format"),
    ],
)
def test_an_npz_is_believed_only_as_far_as_it_reaches(entries, message):
    with pytest.raises(InvalidFile, match=message):
        formats.read(npz_of(entries))


def test_a_compressed_npz_is_refused_before_it_unpacks():
    with pytest.raises(InvalidFile, match=r"compressed; write it with numpy\.savez"):
        formats.read(npz_of({"x.npy": npy(np.zeros(10_000_000, np.uint8))}, zipfile.ZIP_DEFLATED))


def test_a_file_that_another_program_rewrote_is_still_read(tmp_path):
    original = artifact()
    with np.load(io.BytesIO(formats.write(original, "npz"))) as arrays:
        np.savez(tmp_path / "again.npz", **arrays)
    assert equal(formats.read((tmp_path / "again.npz").read_bytes()), original)


FILES = {format: formats.write(artifact(), format) for format in READ}


@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.integers(0, 200))
def test_a_damaged_file_is_an_artifact_or_invalid(format, changes, cut):
    data = bytearray(FILES[format])
    for position, byte in changes:
        data[position % len(data)] = byte
    try:
        found = formats.read(bytes(data[: len(data) - cut]))
    except InvalidFile:
        return
    assert isinstance(found, Artifact)


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"{", struct.pack("<Q", 40)]))
def test_any_bytes_are_an_artifact_or_invalid(data, start):
    with pytest.raises(InvalidFile):
        formats.read(start + data)
