from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.errors import CheckpointMismatch, InvalidFile
from nncore.trainer import Trainer

SPEC: dict[str, Any] = {
    "inputs": ["x"],
    "target": "y",
    "network": [{"type": "dense", "units": 4, "activation": "relu"}, {"type": "dense", "units": 3}],
    "preprocess": [{"type": "standardize"}],
    "epochs": 3,
    "batch_size": 8,
    "seed": 1,
}


def trained(job: Any, blobs: Any, reports: int = 100, **spec: Any) -> Trainer:
    """After so many reports."""
    trainer = Trainer(*job(blobs, **SPEC | spec))
    for _, _ in zip(range(reports), trainer.run(call_seconds=0), strict=False):
        pass
    return trainer


def test_a_state_comes_back_as_it_was(job: Any, blobs: Any) -> None:
    state = trained(job, blobs).state()
    back = checkpoint.decode(checkpoint.encode(state))
    assert back.keys() == state.keys()
    for name, values in state.items():
        assert (back[name].dtype, back[name].shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(back[name], values)


def test_equal_states_are_equal_bytes_whatever_their_order_or_strides(job: Any, blobs: Any) -> None:
    state = trained(job, blobs).state()
    strided = np.empty(2 * len(state["parameters"]), state["parameters"].dtype)[::2]
    strided[:] = state["parameters"]
    turned = dict(reversed(state.items())) | {"parameters": strided}
    assert checkpoint.encode(turned) == checkpoint.encode(state)


def test_a_state_is_a_copy(job: Any, blobs: Any) -> None:
    trainer = trained(job, blobs, reports=1)
    state = trainer.state()
    before = checkpoint.encode(state)
    list(trainer.run())
    assert checkpoint.encode(state) == before


@pytest.mark.parametrize("where", [0, 5, 30, 60, 200, -1])
def test_a_changed_byte_is_seen(where: int, job: Any, blobs: Any) -> None:
    content = bytearray(checkpoint.encode(trained(job, blobs).state()))
    content[where] ^= 1
    with pytest.raises(InvalidFile, match="checkpoint"):
        checkpoint.decode(bytes(content))


@pytest.mark.parametrize("length", [0, 10, 40, 100, -1])
def test_a_cut_file_is_refused(length: int, job: Any, blobs: Any) -> None:
    with pytest.raises(InvalidFile, match="checkpoint"):
        checkpoint.decode(checkpoint.encode(trained(job, blobs).state())[:length])


OTHERS: dict[str, dict[str, Any]] = {
    "another seed": {"seed": 2},
    "another optimizer of the same size": {"optimizer": {"type": "adam", "learning_rate": 0.5}},
    "another batch size": {"batch_size": 9},
    "another dtype": {"dtype": "float64"},
    "another network": {"network": [{"type": "dense", "units": 5, "activation": "relu"}, {"type": "dense", "units": 3}]},
    "another activation": {"network": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 3}]},
    "held out rows": {"validation": {"fraction": 0.1}},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_state_of_another_run_is_refused_and_changes_nothing(other: str, job: Any, blobs: Any) -> None:
    state, trainer = trained(job, blobs).state(), Trainer(*job(blobs, **SPEC | OTHERS[other]))
    before = checkpoint.encode(trainer.state())
    with pytest.raises(CheckpointMismatch):
        trainer.restore(state)
    assert checkpoint.encode(trainer.state()) == before


def test_two_optimizers_with_equal_fields_are_not_taken_for_each_other(job: Any, blobs: Any) -> None:
    (sgd, _), (adam, _) = (job(blobs, **SPEC | {"optimizer": {"type": kind, "learning_rate": 0.1}}) for kind in ("sgd", "adam"))
    assert checkpoint.spec_digest(sgd, 50, 0).tobytes() != checkpoint.spec_digest(adam, 50, 0).tobytes()


def test_a_run_may_be_made_longer(job: Any, blobs: Any) -> None:
    short, long = trained(job, blobs), trained(job, blobs, epochs=5)
    longer = Trainer(*job(blobs, **SPEC | {"epochs": 5}))
    longer.restore(short.state())
    list(longer.run())
    assert checkpoint.encode(longer.state()) == checkpoint.encode(long.state())


@pytest.mark.parametrize("missing", ["parameters", "optimizer", "position", "shuffle", "sums", "best_parameters", "spec", "about"])
def test_a_state_that_lacks_something_is_refused(missing: str, job: Any, blobs: Any) -> None:
    trainer = trained(job, blobs)
    with pytest.raises(CheckpointMismatch, match=missing):
        trainer.restore({name: values for name, values in trainer.state().items() if name != missing})


@pytest.mark.parametrize("which", ["best", "last"])
@pytest.mark.parametrize("reports", [0, 1, 3, 100])
def test_an_artifact_is_read_from_a_state_without_a_trainer(which: Any, reports: int, job: Any, blobs: Any) -> None:
    trainer = trained(job, blobs, reports)
    state = checkpoint.decode(checkpoint.encode(trainer.state()))
    snapshot, expected = checkpoint.artifact_from(trainer.spec, state, which), trainer.artifact(which)
    for name, values in expected.parameters.items():
        assert snapshot.artifact.parameters[name].tobytes() == values.tobytes()
    assert replace(snapshot.artifact, parameters=expected.parameters).__dict__ == expected.__dict__
    if which == "best" and trainer.best:
        best = trainer.best
        assert snapshot[1:-1] == (best.step, best.epoch, best.loss, best.metrics, best.validation_loss)
    else:
        assert (snapshot.step, snapshot.epoch) == (trainer.step, trainer.epoch)
        assert (snapshot.loss is None) == (reports == 0)
    if reports == 100:
        assert snapshot.metrics.keys() == {"accuracy"}


@pytest.mark.parametrize("more", [{}, {"optimizer": {"type": "sgd", "learning_rate": 0.1, "average_decay": 0.5}}])
def test_a_start_takes_the_parameters_and_nothing_else(more: dict[str, Any], job: Any, blobs: Any) -> None:
    spec = {"seed": 5, "network": [*SPEC["network"][:1], {"type": "batch_norm"}, *SPEC["network"][1:]]}
    first = trained(job, blobs, **spec)
    found = first.artifact("last")
    started = Trainer(*job(blobs, **SPEC | spec | more))
    started.restore(checkpoint.decode(checkpoint.encode(checkpoint.start(found))))
    again = started.artifact("last")
    assert started.step == started.epoch == 0
    assert again.parameters.keys() == found.parameters.keys()
    for name, values in found.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], values)
    snapshot = checkpoint.artifact_from(started.spec, checkpoint.start(found), "best")
    assert (snapshot.step, snapshot.loss, snapshot.artifact.preprocessing) == (0, None, found.preprocessing)
    list(started.run())
    assert started.finished


def test_a_start_of_another_network_is_refused(job: Any, blobs: Any) -> None:
    with pytest.raises(CheckpointMismatch, match="expected 51 parameters"):
        Trainer(*job(blobs, **SPEC | {"network": [{"type": "dense", "units": 8}, {"type": "dense", "units": 3}]})).restore(
            checkpoint.start(trained(job, blobs).artifact())
        )
