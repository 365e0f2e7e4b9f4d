"""The parameters of an artifact, handed out layer by layer: exports walk the layers in the order in which they were lowered."""

from __future__ import annotations

from nncore.artifact import Artifact
from nncore.machine.kernels import Array


class Parameters:
    """`take` gives the next parameter of a kind. Whoever walks the layers in their order needs no names of modules."""

    def __init__(self, artifact: Artifact) -> None:
        self._left = dict(artifact.parameters)

    def take(self, ending: str) -> tuple[str, Array]:
        """The full name of the next one that ends so ("weight"), and its numbers."""
        name = next(name for name in self._left if name.rpartition(".")[2] == ending)
        return name, self._left.pop(name)

    def finish(self) -> None:
        """Nothing may be left: a rule would have passed over what its layer computes with."""
        if self._left:
            raise AssertionError(f"no layer took {', '.join(self._left)}")
