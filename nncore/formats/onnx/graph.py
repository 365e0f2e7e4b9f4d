"""An ONNX graph under construction, and its bytes. The numbers of fields and types are those of onnx.proto.

Rules append nodes; everything is named by what it is and a number, so that equal networks give equal bytes. Where shapes are said, they
are those of one item; in the file a batch of any size ("batch") comes first.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nncore.formats.onnx.protobuf import Field, message
from nncore.formats.parameters import Parameters
from nncore.machine.kernels import Array

OPSETS = {"": 15, "ai.onnx.ml": 2}
IR_VERSION = 8
"""The operators of ONNX 1.10 (August 2021): all that is needed, and batch normalisation that says it does not train."""

TYPES = {"float32": 1, "int64": 7, "text": 8, "bool": 9, "float64": 11}
FLOAT, INT, STRING, FLOATS, INTS, STRINGS = 1, 2, 3, 6, 7, 8  # of attributes

Attribute = int | float | str | Sequence[int] | Sequence[str]


class Tensor(NamedTuple):
    """What flows along an edge: its name, and the shape of one item.

    mask: of a sequence, the name of (batch, steps, 1): 1, or 0 where the step is padding; "" if all count.
    dtype: of an input of the graph, "text" or "", that of the network.
    """

    name: str
    shape: tuple[int, ...]
    mask: str = ""
    dtype: str = ""


class Graph:
    """Nodes and constants of one network. dtype: what the network computes in. parameters: handed out to the rules of its layers."""

    def __init__(self, dtype: str, parameters: Parameters) -> None:
        self.dtype, self.parameters = dtype, parameters
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}
        self._domains = {""}

    def add(self, operator: str, *inputs: str, outputs: Sequence[str] | None = None, domain: str = "", **attributes: Attribute) -> str:
        """Append a node; answers the name of its first output. An empty name among inputs or outputs: there is none.

        domain: "" for the operators of ONNX, "ai.onnx.ml" for those of its extension.
        """
        self._domains.add(domain)
        number = len(self._nodes)
        outputs = [f"{operator}_{number}"] if outputs is None else outputs
        fields: list[Field] = [(1, name) for name in inputs]
        fields += [(2, name) for name in outputs]
        fields += [(3, f"{operator}_{number}_node"), (4, operator)]
        fields += [(5, _attribute(name, attributes[name])) for name in sorted(attributes)]
        fields += [(7, domain)] if domain else []
        self._nodes.append(message(fields))
        return next(name for name in outputs if name)

    def constant(self, name: str, values: Array) -> str:
        """The name of a constant tensor, which is this one; parameters keep the name they have in the network."""
        self._constants[name] = _tensor(name, values)
        return name

    def number(self, value: float) -> str:
        """The name of a constant without axes, in the dtype of the network."""
        return self.constant(f"number_{value!r}", np.array(value, dtype=self.dtype))

    def whole_numbers(self, *values: int) -> str:
        """The name of a constant of whole numbers: a shape, or pads."""
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def reshaped(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The same numbers in items of another shape."""
        return Tensor(self.add("Reshape", x.name, self.whole_numbers(0, *shape)), shape)  # 0: as many items as come in

    def model(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], description: str) -> bytes:
        """The file. description: kept as metadata, under "sankofa"."""
        graph: list[Field] = [(1, node) for node in self._nodes]
        graph += [(2, "network"), *((5, tensor) for tensor in self._constants.values())]
        for field, tensors in ((11, inputs), (12, outputs)):
            graph += [(field, _value_info(tensor, tensor.dtype or self.dtype)) for tensor in tensors]
        opsets: list[Field] = [(8, message([(1, domain), (2, OPSETS[domain])])) for domain in sorted(self._domains)]
        metadata = message([(1, "sankofa"), (2, description)])
        return message([(1, IR_VERSION), (2, "sankofa"), (7, message(graph)), *opsets, (14, metadata)])


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return message([(1, name), (3, value), (20, INT)])
    if isinstance(value, float):
        return message([(1, name), (2, value), (20, FLOAT)])
    if isinstance(value, str):
        return message([(1, name), (4, value), (20, STRING)])
    if value and isinstance(value[0], str):
        return message([(1, name), *((9, str(each)) for each in value), (20, STRINGS)])
    return message([(1, name), *((8, int(each)) for each in value), (20, INTS)])


def _tensor(name: str, values: Array) -> bytes:
    dimensions: list[Field] = [(1, size) for size in values.shape]
    raw = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    return message([*dimensions, (2, TYPES[values.dtype.name]), (8, name), (9, raw)])


def _value_info(tensor: Tensor, dtype: str) -> bytes:
    sizes = [message([(2, "batch")]), *(message([(1, size)]) for size in tensor.shape)]
    shape = message([(1, size) for size in sizes])
    return message([(1, tensor.name), (2, message([(1, message([(1, TYPES[dtype]), (2, shape)]))]))])
