"""Jobs of the kind `predict`: a trained network answers for every row of a dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nncore.formats import safetensors
from nncore.machine.program import Program
from nncore.predictions import FILES, outputs_from
from nncore.predictor import Predictor
from nncore.table import Column, Table
from service.kinds import PredictionSpec
from service.store.claims import Claim, NewFile
from worker.recorder import Recorder
from worker.work import Compile, Left, Work, Write

MOST_AT_ONCE = 1 << 20  # rows


class Predicting(Work):
    """Answers row after row; a step is a row. A checkpoint is the outputs so far."""

    def __init__(self, predictor: Predictor, columns: Sequence[Column], spec: PredictionSpec) -> None:
        self._predictor, self._columns, self._spec = predictor, columns, spec
        self._outputs = np.empty((spec.rows, spec.outputs), spec.dtype)
        self._done, self._at_once = 0, 64
        super().__init__(0, Recorder(self))

    @property
    def step(self) -> int:
        return self._done

    @property
    def epoch(self) -> int:
        return 0

    @property
    def epochs(self) -> int:
        return 1

    @property
    def finished(self) -> bool:
        return self._done == self._spec.rows

    def run(self, seconds: float) -> Iterator[None]:
        while not self.finished:
            started, rows = time.perf_counter(), slice(self._done, min(self._done + self._at_once, self._spec.rows))
            self._outputs[rows] = self._predictor.answers(self._columns, rows).outputs
            self._done = rows.stop
            if time.perf_counter() - started < seconds / 2:
                self._at_once = min(2 * self._at_once, MOST_AT_ONCE)
            yield None

    def state(self) -> bytes:
        return self._outputs[: self._done].tobytes()

    def restore(self, step: int, state: bytes) -> None:
        if step:  # at 0 the network lies
            self._outputs[:step] = outputs_from(state, self._predictor.artifact, step)
            self._done = step

    def left(self, write: Write, between: Callable[[], object]) -> Left:
        """The answers so far, in every form in which they can be fetched."""
        if not self._done:
            return Left()
        prediction, artifact = self._predictor.read(self._outputs[: self._done]), self._predictor.artifact
        written = {name: write(pieces(artifact, prediction)) for name, pieces in FILES.items()}
        return Left(files=[NewFile(f"predictions.{name}", file.digest, file.bytes, file.blob_id) for name, file in written.items()])


def begin(claim: Claim, table: Table, compile: Compile, network: Callable[[], bytes]) -> Predicting:
    """A prediction at its beginning. Raises InvalidData where the network cannot read the table, InvalidFile where it is damaged."""
    spec, artifact = PredictionSpec.model_validate(claim.spec), safetensors.read(network())
    compile(artifact.dtype, Program(artifact.network, artifact.input_shape).kernels())
    predictor = Predictor(artifact)
    return Predicting(predictor, predictor.taken(table), spec)
