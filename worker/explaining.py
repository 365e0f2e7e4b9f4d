"""Jobs of the kind `explain`: a question to a trained network, answered part by part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from nncore.errors import InvalidFile
from nncore.explanation import Parts, Sample, explanation, kernels_needed, of_rows
from nncore.formats import safetensors
from nncore.predictor import Predictor
from nncore.table import Table
from service.kinds import ExplanationSpec
from service.store.claims import Claim, NewFile
from worker.recorder import Recorder
from worker.work import Compile, Left, Work, Write


class Explaining(Work):
    """Answers part after part; a step is a part. A checkpoint is the parts so far."""

    def __init__(self, parts: Parts, asked: dict[str, Any]) -> None:
        self._parts, self._asked = parts, asked
        self._done: list[Any] = []
        super().__init__(0, Recorder(self))

    @property
    def step(self) -> int:
        return len(self._done)

    @property
    def epoch(self) -> int:
        return 0

    @property
    def epochs(self) -> int:
        return 1

    @property
    def finished(self) -> bool:
        return self.step == self._parts.count

    def run(self, seconds: float) -> Iterator[None]:
        while not self.finished:
            self._done.append(self._parts.part(self.step))
            yield None

    def state(self) -> bytes:
        return json.dumps(self._done).encode()

    def restore(self, step: int, state: bytes) -> None:
        if not step:  # there the network lies
            return
        found = json.loads(state)
        if len(found) != step:
            raise InvalidFile(f"expected {step:,} parts of an answer, got {len(found):,}")
        self._done = found

    def left(self, write: Write, between: Callable[[], object]) -> Left:
        """The answer, once it is whole."""
        if not self.finished:
            return Left()
        file = write([orjson.dumps({**self._asked, **self._parts.whole(self._done)})])
        return Left(files=[NewFile("explanation.json", file.digest, file.bytes, file.blob_id)])


def begin(claim: Claim, table: Table, compile: Compile, network: Callable[[], bytes]) -> Explaining:
    """An answer at its beginning. Raises InvalidData where the network cannot read the table, InvalidFile where it is damaged."""
    spec, artifact = ExplanationSpec.model_validate(claim.spec), safetensors.read(network())
    asked = spec.explain
    for dtype, kernels in kernels_needed(asked, artifact, spec.loss).items():
        compile(dtype, kernels)
    predictor = Predictor(artifact)
    most = of_rows(asked)
    sample = None if most is None else Sample.of(predictor, table, spec.judged_rows(table), most, spec.loss)
    return Explaining(explanation(asked, predictor, spec.loss, sample), spec.said())
