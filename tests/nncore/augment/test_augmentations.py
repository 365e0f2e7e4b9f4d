"""What each augmentation does to a batch, seen where the network takes it; and that only training plans know of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

from nncore.augment import AugmentSpec
from nncore.augment.mixup import SHARES, share_and_distance, shares
from nncore.augment.noise import quantiles
from nncore.losses import LossSpec
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.network import NetworkSpec
from nncore.optimizers import SGD
from nncore.streams import stream

AUGMENT: TypeAdapter[Any] = TypeAdapter(list[AugmentSpec])
LOSS: TypeAdapter[Any] = TypeAdapter(LossSpec)


class Batch:
    """One batch under augmentations: its loss and gradient, and what the network was given."""

    def __init__(
        self,
        augment: list[dict[str, Any]],
        rows: int = 7,
        size: int = 6,
        units: int = 3,
        loss: Any = None,
        dtype: str = "float64",
        seed: int = 5,
    ) -> None:
        self.network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": units}]})
        self.loss_spec = LOSS.validate_python(loss or {"type": "softmax_cross_entropy"})
        self.optimizer, self.rows = SGD(learning_rate=1e-300), rows
        steps = AUGMENT.validate_python(augment)
        self.program = Program(self.network, (size,), loss=self.loss_spec, optimizer=self.optimizer, batch_size=rows, augment=steps)
        self.machine = Machine(self.program, dtype, seed)
        self.machine.initialise(stream(seed, "init"))
        self.parameters = self.machine.parameters.copy()
        random = np.random.default_rng(seed)
        self.inputs = random.standard_normal((rows, size)).astype(dtype)
        self.labels, self.targets = random.integers(0, units, rows), random.random((rows, units)).astype(dtype)
        self.seed = seed

    def run(self, step: int = 0, parameters: np.ndarray | None = None) -> float:
        """The loss of the batch in a step."""
        self.machine.parameters[:] = self.parameters if parameters is None else parameters
        self.machine.step, sums = step, np.zeros(2)
        rows = Rows.of(self.inputs, self.targets, self.labels)
        assert self.machine.run_steps(self.optimizer.scalars(np.arange(1)), sums, rows, np.arange(self.rows), 0) == 1
        return float(sums[0] / sums[1])

    def given(self, step: int = 0) -> np.ndarray:
        """The inputs as the first layer took them."""
        self.run(step)
        kernel = next(row for row in self.program.training.forward if "dense" in row[0].name)
        at = self.program.training.resolve(kernel[1])
        return self.machine.arena[at : at + self.inputs.size].reshape(self.inputs.shape).copy()

    @property
    def mixing(self) -> tuple[float, int]:
        (alpha,) = [each.alpha for each in self.program.augment if each.type == "mixup"]
        share, distance = share_and_distance(self.machine.integers, np.array(shares(alpha)))
        return float(share), int(distance)


def test_noise_is_normal_and_another_in_every_step() -> None:
    batch = Batch([{"type": "noise", "deviation": 0.5}], rows=1000, size=301)
    first, again, second = ((batch.given(step) - batch.inputs) / 0.5 for step in (0, 0, 1))
    assert np.array_equal(first, again)
    numbers = np.concatenate([first.ravel(), second.ravel()])
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    assert abs(numbers.std() - 1) < 0.005
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(first[:, :-1].ravel(), first[:, 1:].ravel())[0, 1]) < 0.01


def test_the_pieces_of_the_normal_distribution_have_its_deviation() -> None:
    ends = np.array(quantiles())
    drawn = np.interp(np.linspace(0, 1, 2_000_001), np.linspace(0, 1, len(ends)), ends)
    assert abs(drawn.std() - 1) < 1e-5
    assert abs(stats.norm.cdf(ends) - np.linspace(0, 1, len(ends))).max() < 1e-4
    assert ends[-1] < 4.25


@pytest.mark.parametrize(("axis", "numpy_axis"), [(-1, 3), (1, 2), (0, 1)])
def test_rows_are_flipped_with_the_probability_given(axis: int, numpy_axis: int) -> None:
    batch = Batch([{"type": "flip", "shape": [2, 3, 5], "axis": axis, "probability": 0.25}], rows=2000, size=30)
    given, pictures = batch.given().reshape(-1, 2, 3, 5), batch.inputs.reshape(-1, 2, 3, 5)
    flipped = (given == np.flip(pictures, numpy_axis)).all(axis=(1, 2, 3))
    assert ((given == pictures).all(axis=(1, 2, 3)) | flipped).all()
    assert 0.2 < flipped.mean() < 0.3
    assert (batch.given(1).reshape(given.shape) != given).any()


def test_rows_are_shifted_by_whole_places_and_filled() -> None:
    batch = Batch([{"type": "shift", "shape": [2, 4, 5], "most": [1, 2], "fill": 9.0}], rows=3000, size=40)
    given, pictures = batch.given().reshape(-1, 2, 4, 5), batch.inputs.reshape(-1, 2, 4, 5)
    counts = {}
    for down in (-1, 0, 1):
        for right in (-2, -1, 0, 1, 2):
            padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (2, 2)), constant_values=9.0)
            moved = padded[:, :, 1 - down : 5 - down, 2 - right : 7 - right]
            counts[down, right] = int((given == moved).all(axis=(1, 2, 3)).sum())
    assert sum(counts.values()) == 3000
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_a_sequence_may_be_shifted_in_time_alone() -> None:
    batch = Batch([{"type": "shift", "shape": [10, 3], "most": [4, 0]}], rows=200, size=30)
    given, items = batch.given().reshape(-1, 10, 3), batch.inputs.reshape(-1, 10, 3)
    for row, item in zip(given, items, strict=True):
        padded = np.pad(item, ((4, 4), (0, 0)))
        assert sum(np.array_equal(row, padded[4 - by : 14 - by]) for by in range(-4, 5)) == 1


def test_mixup_mixes_each_row_with_another_by_one_share_of_the_batch() -> None:
    batch, seen = Batch([{"type": "mixup", "alpha": 0.5}]), []
    for step in range(400):
        given = batch.given(step)
        batch.machine.step = step
        share, distance = batch.mixing
        partner = np.roll(batch.inputs, -distance, axis=0)
        assert 1 <= distance < batch.rows
        np.testing.assert_allclose(given, share * batch.inputs + (1 - share) * partner, rtol=1e-12, atol=1e-15)
        seen.append((share, distance))
    assert stats.kstest([share for share, _ in seen], stats.beta(0.5, 0.5).cdf).pvalue > 1e-3
    assert {distance for _, distance in seen} == set(range(1, batch.rows))


def test_a_batch_of_one_row_is_mixed_with_nothing() -> None:
    batch = Batch([{"type": "mixup"}], rows=1)
    np.testing.assert_allclose(batch.given(), batch.inputs, rtol=1e-15)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 100.0])
def test_the_shares_are_equally_likely_under_beta(alpha: float) -> None:
    assert stats.kstest(shares(alpha), stats.beta(alpha, alpha).cdf).statistic < 1 / SHARES


LOSSES = [
    {"type": "softmax_cross_entropy"},
    {"type": "softmax_cross_entropy", "label_smoothing": 0.2},
    {"type": "binary_cross_entropy"},
    {"type": "mean_squared_error"},
    {"type": "huber", "delta": 0.3},
]


@pytest.mark.oracle
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: "-".join(map(str, loss.values())))
def test_loss_and_gradient_under_mixup_are_those_of_soft_targets_in_torch(loss: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def torch_loss(loss: dict[str, Any], outputs: Any, targets: Any) -> Any:
        if loss["type"] == "softmax_cross_entropy":
            return functional.cross_entropy(outputs, targets, label_smoothing=loss.get("label_smoothing", 0.0))
        if loss["type"] == "huber":
            return functional.huber_loss(outputs, targets, delta=0.3)
        kinds = {"binary_cross_entropy": functional.binary_cross_entropy_with_logits, "mean_squared_error": functional.mse_loss}
        return kinds[loss["type"]](outputs, targets)

    for step in range(5):
        batch = Batch([{"type": "mixup", "alpha": 1.0}], loss=loss)
        found = batch.run(step)
        batch.machine.step = step
        share, distance = batch.mixing

        weight, bias = (torch.tensor(part, requires_grad=True) for part in (batch.parameters[:18].reshape(3, 6), batch.parameters[18:]))
        labels = np.eye(3)[batch.labels] if loss["type"].startswith("softmax") else batch.targets
        inputs, targets = (torch.tensor(share * each + (1 - share) * np.roll(each, -distance, axis=0)) for each in (batch.inputs, labels))
        expected = torch_loss(loss, functional.linear(inputs, weight, bias), targets)
        expected.backward()
        np.testing.assert_allclose(found, float(expected.detach()), rtol=1e-12)
        gradient = np.concatenate([weight.grad.numpy().ravel(), bias.grad.numpy()])
        np.testing.assert_allclose(batch.machine.gradients, gradient, rtol=1e-9, atol=1e-14)


def test_augmentations_follow_one_another_in_their_order() -> None:
    shift, flip = {"type": "shift", "shape": [6], "most": [2]}, {"type": "flip", "shape": [6], "probability": 1.0}
    one, other = Batch([shift, flip], rows=50), Batch([flip, shift], rows=50)
    assert not np.array_equal(one.given(), other.given())
    np.testing.assert_array_equal(np.sort((one.given() == 0).sum(axis=1)) > 0, np.sort((one.given()[:, ::-1] == 0).sum(axis=1)) > 0)


def test_batches_that_make_one_step_together_are_changed_differently() -> None:
    """Otherwise accumulating gradients would show the same noise to rows at the same place of their batches."""
    batch = Batch([{"type": "noise"}], rows=6)
    batch.inputs[3:] = batch.inputs[:3]
    program = Program(
        batch.network, (6,), loss=batch.loss_spec, optimizer=batch.optimizer, batch_size=3, accumulate=2, augment=batch.program.augment
    )
    machine = Machine(program, "float64", batch.seed)
    rows = Rows.of(batch.inputs, None, batch.labels)
    at, seen = next(program.training.resolve(row[1]) for row in program.training.forward if "dense" in row[0].name), []
    for order in (np.arange(3), np.arange(6)):  # what the last batch of the step was given: the first, then the second
        machine.step = 0
        assert machine.run_steps(batch.optimizer.scalars(np.arange(1)), np.zeros(2), rows, order, 0) == 1
        seen.append(machine.arena[at : at + 18].copy())
    assert not np.isclose(seen[0], seen[1]).any()


def test_only_training_is_augmented() -> None:
    augment = [{"type": "noise", "deviation": 5.0}, {"type": "flip", "shape": [6]}, {"type": "mixup"}]
    with_, without = Batch(augment), Batch([])
    assert with_.run() != without.run()
    outputs = []
    for batch in (with_, without):
        batch.machine.parameters[:] = with_.parameters
        found = np.empty((7, 3))
        batch.machine.run_blocks(np.zeros(2), Rows.of(batch.inputs, None, batch.labels), np.arange(7), found)
        outputs.append(found)
    assert np.array_equal(*outputs)
    assert with_.program.evaluation.kernels() == without.program.evaluation.kernels()


def test_float32_is_augmented_too() -> None:
    augment = [{"type": "noise"}, {"type": "shift", "shape": [6], "most": [2]}, {"type": "flip", "shape": [6]}, {"type": "mixup"}]
    narrow, wide = Batch(augment, dtype="float32"), Batch(augment)
    narrow.inputs = narrow.inputs.astype(np.float32)
    np.testing.assert_allclose(narrow.given(), wide.given(), rtol=1e-5, atol=1e-6)
