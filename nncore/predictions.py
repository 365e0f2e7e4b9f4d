"""Predictions as tables and files: typed, so that their reader needs to know nothing of the network.

classes    label, and probability.NAME of every class (of two classes both, though the network tells one)
questions  label.0, probability.0, label.1, ... of several yes or no
numbers    the target's name, or NAME.0, NAME.1, ... where it has several
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from math import prod
from tempfile import TemporaryFile

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.formats.npz import write_arrays
from nncore.predictor import Prediction

ROWS_AT_ONCE = 4096
PIECE_BYTES = 1 << 20
Typed = list[tuple[str, np.ndarray]]


def typed(artifact: Artifact, prediction: Prediction) -> Typed:
    """The columns of the table, each (rows,), by name."""
    labels, probabilities, outputs = prediction.labels, prediction.probabilities, prediction.outputs
    if labels is None or probabilities is None:
        names = [artifact.target] if outputs.shape[1] == 1 else [f"{artifact.target}.{at}" for at in range(outputs.shape[1])]
        return list(zip(names, outputs.T, strict=True))
    if labels.ndim == 2:
        pairs = zip(labels.T, probabilities.T, strict=True)
        return [(f"{what}.{at}", each) for at, pair in enumerate(pairs) for what, each in zip(("label", "probability"), pair, strict=True)]
    both = np.stack([1 - probabilities, probabilities], axis=1) if probabilities.ndim == 1 else probabilities
    return [("label", labels), *((f"probability.{name}", each) for name, each in zip(classes(artifact, prediction), both.T, strict=True))]


def classes(artifact: Artifact, prediction: Prediction) -> list[str]:
    """Names of the labels 0, 1, ..., in the order of probabilities; none where the answers are numbers."""
    if prediction.probabilities is None:
        return []
    if artifact.classes is not None:
        return list(artifact.classes)
    return [str(label) for label in range(2 if artifact.loss == "binary_cross_entropy" else prediction.probabilities.shape[1])]


def csv_lines(columns: Typed, *, header: bool = True) -> Iterator[bytes]:
    """The table as CSV (RFC 4180), some thousand rows at a time. Numbers have the fewest digits that give them again."""
    rows = len(columns[0][1])
    for first in range(0, rows, ROWS_AT_ONCE):
        written = io.StringIO()
        lines = csv.writer(written)
        if header and first == 0:
            lines.writerow(name for name, _ in columns)
        some = (values[first : first + ROWS_AT_ONCE] for _, values in columns)
        lines.writerows(zip(*(each.astype(str).tolist() for each in some), strict=True))
        yield written.getvalue().encode()


def npz(artifact: Artifact, prediction: Prediction) -> Iterator[bytes]:
    """outputs (rows, outputs); probabilities, labels (names or numbers) and classes, where there are classes. As an .npz file."""
    arrays = {"outputs": prediction.outputs}
    if prediction.probabilities is not None and prediction.labels is not None:
        known = np.array(classes(artifact, prediction), dtype=np.str_)
        arrays |= {"probabilities": prediction.probabilities, "labels": prediction.labels, "classes": known}
    with TemporaryFile() as file:
        write_arrays(file, arrays)
        file.seek(0)
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def comma_separated(artifact: Artifact, prediction: Prediction) -> Iterator[bytes]:
    """The table as CSV, with a header."""
    return csv_lines(typed(artifact, prediction))


FILES: dict[str, Callable[[Artifact, Prediction], Iterator[bytes]]] = {"csv": comma_separated, "npz": npz}
"""What predictions are written as, piece by piece, by the ending of the file's name. Equal ones give equal bytes."""


def outputs_from(state: bytes, artifact: Artifact, rows: int) -> np.ndarray:
    """(rows, outputs) out of their bytes. Raises InvalidFile where these are not as many."""
    outputs = prod(artifact.network.output_shape(artifact.input_shape))
    found = np.frombuffer(state, np.dtype(artifact.dtype))
    if found.size != rows * outputs:
        raise InvalidFile(f"expected {rows:,} rows of {outputs:,} outputs, got {found.size:,} numbers; predict again")
    return found.reshape(rows, outputs)
