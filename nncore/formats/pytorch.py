"""A state_dict of PyTorch, saved as safetensors, becomes an artifact: torch trained the network, we serve it.

    safetensors.torch.save_file(model.state_dict(), "model.safetensors")

The model is the torch.nn.Sequential equal to the network: every layer with an activation is two modules, flatten, dropout and the like
are one each, so its names ("0.weight", "2.bias") are ours. A name that stands before all of them (of the attribute that holds the
Sequential) is passed over, and so are counters that no prediction needs. The file says neither what the columns nor what the loss was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.faults import MAX_FAULTS
from nncore.formats.safetensors import tensors_of
from nncore.network import NetworkSpec

COUNTERS = ".num_batches_tracked"
NUMBERS = ("float16", "float32", "float64")


def read(
    data: bytes,
    network: NetworkSpec,
    input_shape: Sequence[int],
    *,
    loss: str = "mean_squared_error",
    input_names: Sequence[str] = ("x",),
    target: str = "y",
    classes: Sequence[str] | None = None,
    preprocessing: Sequence[Any] = (),
) -> Artifact:
    """The network with the tensors of the file: float64 where one of them is, else float32.

    Raises InvalidSpec where the network does not fit `input_shape`, InvalidFile with everything that is wrong with the tensors.
    """
    expected = {info.name: info.shape for info in network.parameters(input_shape)}
    found = checked_tensors(expected, tensors_of(data)[0])
    dtype = "float64" if any(values.dtype == np.float64 for values in found.values()) else "float32"
    return Artifact(
        network=network.without_parameters(),
        loss=loss,
        input_names=tuple(input_names),
        input_shape=tuple(input_shape),
        target=target,
        classes=None if classes is None else tuple(classes),
        preprocessing=list(preprocessing),
        dtype=dtype,  # type: ignore[arg-type]
        parameters={name: np.require(found[name], dtype, "C") for name in expected},
    )


def checked_tensors(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors by the names of the network, whose parameters are `expected`. Raises InvalidFile with everything that is wrong."""
    found = named_as(expected, tensors)
    wrong = list(_differences(expected, found))
    if wrong:
        more = [f"and {len(wrong) - MAX_FAULTS:,} more"] if len(wrong) > MAX_FAULTS else []
        raise InvalidFile("the tensors are not those of the network: " + "; ".join([*wrong[:MAX_FAULTS], *more]))
    return found


def named_as(expected: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors, without counters, and without what stands before every name as long as no name is a known one."""
    found = {name: values for name, values in tensors.items() if not name.endswith(COUNTERS)}
    while not expected.keys() & found.keys() and all("." in name for name in found) and len({name.split(".")[0] for name in found}) == 1:
        found = {name.partition(".")[2]: values for name, values in found.items()}
    return found


def _differences(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, np.ndarray]) -> Iterator[str]:
    """What is wrong with each tensor, in the order of the network; then those that belong to no layer."""
    for name, shape in expected.items():
        values = found.get(name)
        if values is None:
            yield f"{name}: expected {list(shape)}, got no such tensor"
        elif values.shape != shape:
            yield f"{name}: expected {list(shape)}, got {list(values.shape)}"
        elif values.dtype.name not in NUMBERS:
            yield f"{name}: expected float32 or float64, got {values.dtype}"
        elif not np.isfinite(values).all():
            yield f"{name}: holds NaN or infinity"
    for name in sorted(found.keys() - expected.keys()):
        yield f"{name[:200]}: belongs to no layer, of shape {list(found[name].shape)}"
