"""resolve: a training spec and what is known of the data become a resolved spec, or a list of everything that is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from math import prod

from nncore.errors import InvalidSpec
from nncore.faults import Faults, counted, did_you_mean, one_of, pointer, short
from nncore.layers import LayerSpec
from nncore.losses import LossSpec
from nncore.machine.program import Program
from nncore.metrics import MetricName
from nncore.spec.limits import Limits
from nncore.spec.loss import choose_loss, loss_faults
from nncore.spec.resolved import ResolvedSpec, ResolvedValidation, Sizes
from nncore.spec.training import TrainingSpec
from nncore.split import validation_size
from nncore.table.column import ColumnInfo

_BEYOND_COUNTING = 2**40
"""A layer of more units than this is refused by itself: no limit on parameters allows it."""

_LARGEST = {"float32": 3.4e38, "float64": 1e150}
"""The largest number of a column that training in a dtype can take (squares of float64 must stay finite)."""


def resolve(spec: TrainingSpec, columns: Sequence[ColumnInfo], rows: int, limits: Limits) -> ResolvedSpec:
    """`spec` with every default written in for data of these columns, and its sizes. The seed is drawn if none was given.

    A batch_size beyond the number of training rows becomes that number. Nothing large is allocated, whatever the spec says.
    Raises InvalidSpec with all faults, their pointers relative to the training spec.
    """
    faults = Faults()
    by_name = {column.name: column for column in columns}
    inputs = _inputs(spec, by_name, faults)
    target = _target(spec, by_name, faults)
    _check_magnitudes(spec, [*inputs, *([target] if target else [])], faults)
    input_shape = _input_shape(spec, inputs)
    output_shape = _network(spec, input_shape, limits, faults)

    loss: LossSpec | None = None
    if target and output_shape is not None:
        loss = choose_loss(spec, target, prod(output_shape))
        faults.extend(loss_faults(spec, loss, target, prod(output_shape)))
    classes = _classes(loss, target, output_shape)
    metrics = _metrics(spec, classes, loss, faults)
    validation, validation_rows = _validation(spec, classes is not None, rows, faults)
    sizes = _sizes(spec, loss, input_shape, output_shape, rows, validation_rows, limits, faults)

    if faults or target is None or loss is None or output_shape is None or sizes is None:
        raise InvalidSpec(faults.found)
    return ResolvedSpec(
        network=spec.network,
        inputs=[column.name for column in inputs],
        target=target.name,
        loss=loss,
        optimizer=spec.optimizer,
        batch_size=min(spec.batch_size, sizes.training_rows),
        epochs=spec.epochs,
        seed=secrets.randbelow(2**31) if spec.seed is None else spec.seed,
        shuffle=spec.shuffle,
        dtype=spec.dtype,
        validation=validation,
        preprocess=spec.preprocess,
        metrics=metrics,
        input_shape=list(input_shape),
        output_shape=list(output_shape),
        classes=classes,
        sizes=sizes,
    )


def _inputs(spec: TrainingSpec, by_name: dict[str, ColumnInfo], faults: Faults) -> list[ColumnInfo]:
    """The columns that go in; without those that cannot."""
    if spec.inputs is None:
        pointers = {name: "/inputs" for name in by_name if name != spec.target}
        if not pointers:
            faults.add(
                "/inputs", "no_inputs", "the data has no column beside the target; add the columns to learn from", expected="at least one"
            )
    else:
        pointers = {}
        for position, name in enumerate(spec.inputs):
            at = pointer("inputs", position)
            if name in pointers:
                faults.add(at, "duplicate_input", f"the column {short(name)} stands twice among the inputs; take one out", got=short(name))
            elif name not in by_name:
                _add_missing(at, name, by_name, faults)
            elif name == spec.target:
                message = f"the column {short(name)} is the target, so it cannot be an input; take it out of the inputs"
                faults.add(at, "target_among_inputs", message, got=short(name))
            else:
                pointers[name] = at
    found = []
    for name, at in pointers.items():
        if by_name[name].categories is None:
            found.append(by_name[name])
        else:
            remedy = "leave it out of the inputs" if spec.inputs else 'name the columns of numbers in "inputs"'
            message = (
                f"the column {short(name)} holds text, and inputs are numbers; {remedy}, "
                "or replace it by one column of 0 and 1 for each of its categories"
            )
            faults.add(at, "text_input", message, expected="a column of numbers", got="a column of text")
    return found


def _target(spec: TrainingSpec, by_name: dict[str, ColumnInfo], faults: Faults) -> ColumnInfo | None:
    if spec.target not in by_name:
        _add_missing("/target", spec.target, by_name, faults)
    return by_name.get(spec.target)


def _add_missing(at: str, name: str, by_name: dict[str, ColumnInfo], faults: Faults) -> None:
    hint = did_you_mean(name, by_name) or f" It has {one_of(by_name).replace(' or ', ' and ')}."
    faults.add(at, "no_such_column", f"the data has no column {short(name)}.{hint}", expected="a column of the data", got=short(name))


def _check_magnitudes(spec: TrainingSpec, columns: Sequence[ColumnInfo], faults: Faults) -> None:
    most = _LARGEST[spec.dtype]
    for column in columns:
        largest = max(abs(column.minimum or 0), abs(column.maximum or 0))
        if largest > most:
            remedy = ' or set "dtype" to "float64"' if spec.dtype == "float32" and largest <= _LARGEST["float64"] else ""
            at = pointer("inputs", *([spec.inputs.index(column.name)] if spec.inputs else []))
            at = "/target" if column.name == spec.target else at
            message = f"the column {short(column.name)} holds {largest:g}: {spec.dtype} takes numbers up to {most:g}; scale it down{remedy}"
            faults.add(at, "too_large_number", message, expected=f"at most {most:g}", got=f"{largest:g}")


def _input_shape(spec: TrainingSpec, inputs: Sequence[ColumnInfo]) -> tuple[int, ...]:
    """A single column keeps its item shape, unless a dense layer takes it; several are laid side by side."""
    first = next((layer.type for layer in spec.network.layers if layer.type != "dropout"), "dense")
    if len(inputs) == 1 and first != "dense" and inputs[0].item_shape:
        return tuple(inputs[0].item_shape)
    return (sum(prod(column.item_shape) for column in inputs),)


def _network(spec: TrainingSpec, input_shape: tuple[int, ...], limits: Limits, faults: Faults) -> tuple[int, ...] | None:
    """The shape of one item that comes out; None where the network does not fit, cannot be trained, or is too large to look at."""
    layers = spec.network.layers
    if len(layers) > limits.max_layers:
        most = f"at most {limits.max_layers:,} layers"
        faults.add("/network/layers", "too_many_layers", f"expected {most}, got {len(layers):,}", expected=most, got=f"{len(layers):,}")
        return None
    for number, layer in enumerate(layers):
        if reason := layer.untrainable():
            at = pointer("network", "layers", number, *(["activation"] if hasattr(layer, "activation") else []))
            faults.add(at, "untrainable_layer", reason, got=short(getattr(layer, "activation", layer.type)))
        _check_given(layer, number, spec.dtype, faults)
    if input_shape == (0,):
        return None  # the inputs are at fault, and told
    try:
        shapes = spec.network.shapes(input_shape)
    except InvalidSpec as refused:
        faults.extend(refused.faults, "/network")
        return None
    for number, shape in enumerate(shapes[1:]):
        if prod(shape) > _BEYOND_COUNTING:
            most = f"at most {limits.max_parameters:,} parameters"
            message = f"the network is too large: expected {most}, but layer {number} alone has {short(prod(shape))} outputs"
            faults.add(pointer("network", "layers", number), "too_many_parameters", message, expected=most, got=short(prod(shape)))
            return None
    return shapes[-1]


def _check_given(layer: LayerSpec, number: int, dtype: str, faults: Faults) -> None:
    """Given parameters must fit into the dtype of training."""
    for name in ("weight", "bias", "threshold"):
        given = getattr(layer, name, None) or []
        numbers = (value for row in given for value in (row if isinstance(row, list) else [row]))
        largest = max(map(abs, numbers), default=0.0) if dtype == "float32" else 0.0
        if largest > _LARGEST["float32"]:
            message = f'{name} holds {largest:g}, more than float32 can; set "dtype" to "float64"'
            faults.add(
                pointer("network", "layers", number, name), "too_large_number", message, expected="at most 3.4e38", got=f"{largest:g}"
            )


def _classes(loss: LossSpec | None, target: ColumnInfo | None, output_shape: tuple[int, ...] | None) -> list[str] | None:
    """What the labels are called; None where the target is not classes."""
    if loss is None or target is None or output_shape is None or loss.type == "mean_squared_error":
        return None
    if target.categories is not None:
        return list(target.categories)
    if loss.type == "softmax_cross_entropy":
        return [str(label) for label in range(min(prod(output_shape), 1_000_000))]
    return ["0", "1"] if target.integral and prod(output_shape) == 1 else None


def _metrics(spec: TrainingSpec, classes: list[str] | None, loss: LossSpec | None, faults: Faults) -> list[MetricName]:
    answers_yes_or_no = loss is not None and loss.type == "binary_cross_entropy"
    if spec.metrics is None:
        return ["accuracy"] if classes is not None else []
    for position, name in enumerate(spec.metrics):
        at = pointer("metrics", position)
        if name in spec.metrics[:position]:
            faults.add(at, "duplicate_metric", f"the metric {short(name)} stands twice; take one out", got=short(name))
        elif loss is not None and classes is None and not answers_yes_or_no:
            message = (
                f"{name} counts right classes, but under {loss.type} the target {short(spec.target)} is a number; "
                "leave the metric out, or choose a cross-entropy loss"
            )
            faults.add(at, "metric_needs_classes", message, got=short(name))
    return spec.metrics


def _validation(spec: TrainingSpec, of_classes: bool, rows: int, faults: Faults) -> tuple[ResolvedValidation | None, int]:
    """Validation with its default, and the number of rows that are held out."""
    if spec.validation is None:
        return None, 0
    asked = spec.validation
    if asked.stratified and not of_classes:
        message = "a split can be stratified by classes only, and the target is not classes; leave stratified out"
        faults.add("/validation/stratified", "stratified_without_classes", message, got="true")
    held_out = validation_size(rows, asked.fraction)
    if held_out >= rows:
        message = f"holding out {asked.fraction:g} of {counted(rows, 'row')} leaves none to train on; lower the fraction or send more rows"
        faults.add("/validation/fraction", "no_training_rows", message, expected="at least one training row", got="none")
    stratified = of_classes if asked.stratified is None else asked.stratified
    return ResolvedValidation(fraction=asked.fraction, stratified=stratified), held_out


def _sizes(
    spec: TrainingSpec,
    loss: LossSpec | None,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...] | None,
    rows: int,
    validation_rows: int,
    limits: Limits,
    faults: Faults,
) -> Sizes | None:
    """The sizes, from a plan that is only measured. A size beyond its limit is a fault."""
    training_rows = max(1, rows - validation_rows)
    batch_size = min(spec.batch_size, training_rows)
    steps_per_epoch = -(-training_rows // batch_size)
    steps = steps_per_epoch * spec.epochs
    if spec.epochs > limits.max_epochs:
        _add_over("/epochs", "too_many_epochs", "epochs", spec.epochs, limits.max_epochs, "", faults)
    elif steps > limits.max_steps:
        how = f" ({steps_per_epoch:,} steps in each of {spec.epochs:,} epochs); lower epochs or raise batch_size"
        _add_over("/epochs", "too_many_steps", "steps", steps, limits.max_steps, how, faults)
    if output_shape is None:
        return None

    program = Program(spec.network, input_shape, loss=loss, optimizer=spec.optimizer, batch_size=batch_size)
    parameters = program.parameter_count
    itemsize = 8 if spec.dtype == "float64" else 4
    target_bytes = 8 if loss is not None and loss.compares_with == "labels" else itemsize * prod(output_shape)
    memory_bytes = program.memory_bytes(spec.dtype) + rows * (prod(input_shape) * itemsize + target_bytes)
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
    )


def _add_over(at: str, code: str, unit: str, got: int, most: int, how: str, faults: Faults) -> None:
    found = f"{got:,}" if got < 10**30 else short(got)
    message = f"expected at most {most:,} {unit}, got {found}{how}"
    faults.add(at, code, message, expected=f"at most {most:,} {unit}", got=found)
