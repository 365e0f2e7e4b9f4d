"""Trained parameters of the service, for use: those of a job, or of a version of a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sankofa.columns import column_list, is_frame, of_frame
from sankofa.connection import Connection
from sankofa.datasets import Dataset
from sankofa.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

SHOWN_ROWS = 3
FORMATS = {".safetensors": "safetensors", ".npz": "npz", ".json": "json", ".onnx": "onnx", ".py": "python"}


@dataclass(frozen=True)
class Prediction:
    """The network's answer for each row."""

    outputs: np.ndarray  # (rows, units), before any softmax or sigmoid of the loss; numbers in the unit of the target
    probabilities: np.ndarray | None  # (rows, classes), or (rows,) for two classes; None where the loss has none
    labels: np.ndarray | None  # (rows,), names or integers
    classes: list[str] | None = None  # names of the labels 0, 1, ..., in the order of probabilities

    def __repr__(self) -> str:
        shown = self.outputs if self.labels is None else self.labels
        first = ", ".join(str(each) for each in shown[:SHOWN_ROWS].tolist()) + (", ..." if len(shown) > SHOWN_ROWS else "")
        of = "outputs" if self.labels is None else "labels"
        among = "" if self.classes is None else f" of {len(self.classes):,} classes"
        return f"<Prediction of {len(self.outputs):,} rows: {of}{among} {first}>"


class Trained:
    """Parameters at `path` of the service. which: what the query says to choose among them. names: asks for the network's inputs."""

    def __init__(self, connection: Connection, path: str, names: Callable[[], Sequence[str]], **which: Any) -> None:
        self._connection = connection
        self._path = path
        self._names = names
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

    def predict(self, inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray | Dataset | str | os.PathLike[str] | Any) -> Prediction:
        """What the network answers for `inputs`.

        inputs: columns by name; a frame of pandas or polars; rows in the order of the network's inputs; a dataset, or the id of one; or the
        path of a file, such a file as bytes or open in binary mode (CSV, plain or gzip, npz, npy, Parquet). Of a frame, a file or a dataset
        the columns that the network does not read are passed over. None, NaN and pandas' NA are missing values, where training had some.
        Raises InvalidInput for what cannot be sent, InvalidRequest naming row and column for what the network cannot read.
        """
        import numpy as np

        request: dict[str, Any]
        if isinstance(inputs, Dataset):
            request = {"body": {"dataset": inputs.id}}
        elif isinstance(inputs, str) and inputs.startswith("ds_") and not os.path.exists(inputs):
            request = {"body": {"dataset": inputs}}
        elif isinstance(inputs, str | os.PathLike | bytes) or hasattr(inputs, "read"):
            request = {"content": _bytes_of(inputs), "headers": {"Content-Type": "application/octet-stream"}}
        elif is_frame(inputs):
            request = {"body": {"inputs": _columns(self._read_of(inputs))}}
        elif isinstance(inputs, Mapping):
            request = {"body": {"inputs": _columns(inputs)}}
        else:
            request = {"body": {"inputs": column_list("inputs", inputs, may_miss=True)}}
        response = self._connection.request("POST", f"{self._path}/predict", params=self._which, **request)
        answer = self._connection.document(response)
        probabilities, labels = answer.get("probabilities"), answer.get("labels")
        return Prediction(
            np.asarray(answer["outputs"], dtype=np.float64),
            None if probabilities is None else np.asarray(probabilities, dtype=np.float64),
            None if labels is None else np.asarray(labels),
            answer.get("classes"),
        )

    def _read_of(self, frame: Any) -> dict[str, Any]:
        """The columns of a frame that the network reads. Raises InvalidInput naming those that it lacks."""
        columns, names = of_frame(frame), self._names()
        if lacking := [name for name in names if name not in columns]:
            some = ", ".join(map(repr, lacking[:10])) + (", ..." if len(lacking) > 10 else "")
            has = ", ".join(map(repr, list(columns)[:10])) + (", ..." if len(columns) > 10 else "")
            raise InvalidInput(f"the frame lacks {some}, which the network reads; it has {has}")
        return {name: columns[name] for name in names}


def _columns(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: column_list(name, values, may_miss=True) for name, values in columns.items()}


def _bytes_of(file: Any) -> bytes:
    """The bytes of a file."""
    if isinstance(file, bytes):
        return file
    if isinstance(file, str | os.PathLike):
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise InvalidInput(f"{file}: expected a file of rows, or the id of a dataset (ds_...); {error.strerror}") from error
    content = file.read()
    if not isinstance(content, bytes):
        raise InvalidInput(f"inputs: expected a file opened in binary mode, got one that reads {type(content).__name__}")
    return content
