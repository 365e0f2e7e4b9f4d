"""What a job comes to, computed from a plan that is only measured, and held against the limits."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nncore.augment import AugmentSpec
from nncore.faults import Faults, short
from nncore.losses import LossSpec
from nncore.machine.program import Program
from nncore.spec.limits import Limits
from nncore.spec.resolved import CountedSpec, Sizes
from nncore.spec.training import TrainingSpec


def sizes_of(
    spec: CountedSpec,
    loss: LossSpec | None,
    augment: Sequence[AugmentSpec],
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...] | None,
    rows: int,
    held_out: tuple[int, int],
    limits: Limits,
    faults: Faults,
) -> Sizes | None:
    """The sizes, from a plan that is only measured. A size beyond its limit is a fault. held_out: rows for validation, and for the test."""
    validation_rows, test_rows = held_out
    training_rows = max(1, rows - validation_rows - test_rows)
    batch_size, accumulate = min(spec.batch_size, training_rows), batches_per_step(spec, training_rows)
    steps_per_epoch = -(-training_rows // (batch_size * accumulate))
    steps = steps_per_epoch * spec.epochs
    if spec.epochs > limits.max_epochs:
        _add_over("/epochs", "too_many_epochs", "epochs", spec.epochs, limits.max_epochs, "", faults)
    elif steps > limits.max_steps:
        how = f" ({steps_per_epoch:,} steps in each of {spec.epochs:,} epochs); lower epochs or raise batch_size"
        _add_over("/epochs", "too_many_steps", "steps", steps, limits.max_steps, how, faults)
    if output_shape is None:
        return None

    parameters, memory_bytes = measured(spec, loss, augment, input_shape, output_shape, rows, batch_size, accumulate)
    if parameters > limits.max_parameters:
        how = "; use fewer units or layers"
        _add_over("/network", "too_many_parameters", "parameters", parameters, limits.max_parameters, how, faults)
    elif memory_bytes > limits.max_memory_bytes:
        how = (
            f" (parameters, gradients, optimizer state, activations of {batch_size:,} rows, and {rows:,} rows of data); "
            "use fewer units or a smaller batch_size"
        )
        _add_over("/network", "too_much_memory", "bytes of memory", memory_bytes, limits.max_memory_bytes, how, faults)
    return Sizes(
        rows=rows,
        training_rows=training_rows,
        validation_rows=validation_rows,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        parameters=parameters,
        memory_bytes=memory_bytes,
        test_rows=test_rows,
    )


def measured(
    spec: TrainingSpec,
    loss: LossSpec | None,
    augment: Sequence[AugmentSpec],
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    rows: int,
    batch_size: int,
    accumulate: int,
) -> tuple[int, int]:
    """(parameters, bytes of memory) of a training in such batches, from a plan that takes none itself."""
    weighted = spec.sample_weight is not None
    program = Program(
        spec.network,
        input_shape,
        loss=loss,
        optimizer=spec.optimizer,
        batch_size=batch_size,
        accumulate=accumulate,
        weighted=weighted,
        augment=augment,
    )
    parameters = program.parameter_count
    itemsize = 8 if spec.dtype == "float64" else 4
    target_bytes = 8 if loss is not None and loss.compares_with == "labels" else itemsize * prod(output_shape)
    memory_bytes = program.memory_bytes(spec.dtype) + rows * (prod(input_shape) * itemsize + target_bytes + weighted * itemsize)
    return parameters, memory_bytes + spec.diagnostics * parameters * itemsize  # those before a step


def batches_per_step(spec: CountedSpec, training_rows: int) -> int:
    """How many batches make a step: as many as were asked for, but no more than an epoch has."""
    return min(spec.accumulate, -(-training_rows // min(spec.batch_size, training_rows)))


def _add_over(at: str, code: str, unit: str, got: int, most: int, how: str, faults: Faults) -> None:
    found = f"{got:,}" if got < 10**30 else short(got)
    message = f"expected at most {most:,} {unit}, got {found}{how}"
    faults.add(at, code, message, expected=f"at most {most:,} {unit}", got=found)
