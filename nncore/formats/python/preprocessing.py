"""Fitted preprocessing as lines of a script."""

from __future__ import annotations

from nncore.artifact import Artifact
from nncore.formats.python.script import Script
from nncore.formats.scalings import scalings


def preprocessed(script: Script, artifact: Artifact) -> None:
    """x (rows, numbers) in float64 goes through the steps, and becomes items of the input shape in the dtype of the network.

    Raises InvalidSpec where a step cannot be exported.
    """
    for number, step in enumerate(scalings(artifact, "a script")):
        offset, scale = (script.array(f"preprocessing.{number}.{key}", values) for key, values in step._asdict().items())
        script.line(f"x = (x - {offset}) / {scale}")
    shape = artifact.input_shape
    script.line(f'x = x.astype("{artifact.dtype}").reshape(len(x), {", ".join(map(str, shape))})', shape)
