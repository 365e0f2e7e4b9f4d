"""Trained parameters of the service, for use: those of a job, or of a version of a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sankofa.connection import Connection
from sankofa.datasets import Dataset, column_list
from sankofa.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

FORMATS = {".safetensors": "safetensors", ".npz": "npz", ".json": "json", ".onnx": "onnx", ".py": "python"}


@dataclass(frozen=True)
class Prediction:
    """The network's answer for each row."""

    outputs: np.ndarray  # (rows, units), before any softmax or sigmoid of the loss; numbers in the unit of the target
    probabilities: np.ndarray | None  # (rows, classes), or (rows,) for two classes; None where the loss has none
    labels: np.ndarray | None  # (rows,), names or integers
    classes: list[str] | None = None  # names of the labels 0, 1, ..., in the order of probabilities


class Trained:
    """Parameters at `path` of the service. which: what the query says to choose among them."""

    def __init__(self, connection: Connection, path: str, **which: Any) -> None:
        self._connection = connection
        self._path = path
        self._which = which

    def weights(self) -> dict[str, np.ndarray]:
        """The parameters by name ("0.weight" (out, in), "0.bias", ...), as a torch.nn.Sequential would name them."""
        from sankofa.tensors import read_safetensors

        return read_safetensors(self.file("safetensors"))

    def file(self, format: str) -> bytes:
        """The file of the parameters: safetensors, npz, json, onnx or python."""
        return self._connection.request("GET", f"{self._path}/weights", params={"format": format, **self._which}).content

    def download(self, path: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the parameters to a file; returns its path. The file appears whole or not at all.

        format: safetensors, npz, json, onnx or python; else what the path's ending says.
        """
        target = Path(path)
        if format is None and target.suffix not in FORMATS:
            raise InvalidInput(f"{target}: expected a file name that ends in {', '.join(FORMATS)}, or a format; got {target.suffix!r}")
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        asked = {"format": format or FORMATS[target.suffix], **self._which}
        try:
            with self._connection.download(f"{self._path}/weights", **asked) as response, part.open("wb") as file:
                for chunk in response.iter_bytes(1 << 20):
                    file.write(chunk)
            part.replace(target)
        except OSError as error:
            raise InvalidInput(f"{target}: cannot be written ({error.strerror})") from error
        finally:
            part.unlink(missing_ok=True)
        return target

    def card(self) -> dict[str, Any]:
        """What the network is, what it was trained on and is worth, its known limits: a model card."""
        return dict(self._connection.get(f"{self._path}/card", **self._which))

    def card_text(self) -> str:
        """The same as Markdown."""
        return self._connection.request("GET", f"{self._path}/card", params={"format": "markdown", **self._which}).text

    def predict(self, inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray | Dataset) -> Prediction:
        """What the network answers for `inputs`: columns by name, rows in the order of its inputs, or a dataset."""
        import numpy as np

        sent: dict[str, Any]
        if isinstance(inputs, Dataset):
            sent = {"dataset": inputs.id}
        elif isinstance(inputs, Mapping):
            sent = {"inputs": {name: column_list(name, values) for name, values in inputs.items()}}
        else:
            sent = {"inputs": column_list("inputs", inputs)}
        response = self._connection.request("POST", f"{self._path}/predict", params=self._which, body=sent)
        answer = self._connection.document(response)
        probabilities, labels = answer.get("probabilities"), answer.get("labels")
        return Prediction(
            np.asarray(answer["outputs"], dtype=np.float64),
            None if probabilities is None else np.asarray(probabilities, dtype=np.float64),
            None if labels is None else np.asarray(labels),
            answer.get("classes"),
        )
