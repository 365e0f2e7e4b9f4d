"""resolve: a training spec and what is known of the data become a resolved spec, or a list of everything that is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import prod

import numpy as np

from nncore.auto import AUTO
from nncore.errors import InvalidSpec
from nncore.faults import Faults, counted, pointer, short
from nncore.layers.given import largest_of
from nncore.layers.layer import Layer
from nncore.losses import BinaryCrossEntropy, LossSpec
from nncore.losses.of_classes import LossOfClasses
from nncore.metrics import METRICS, MOST_CLASSES, TABLES, AskedMetric
from nncore.optimizers import LBFGS, OptimizerSpec
from nncore.spec.augmentation import augmented
from nncore.spec.automatic import RATE_POINTER, counted_spec
from nncore.spec.columns import LARGEST, check_magnitudes, check_tokens, check_weight_column, input_columns, input_shape_of, target_column
from nncore.spec.division import RowParts, row_parts
from nncore.spec.full_batch import check_full_batch
from nncore.spec.limits import Limits
from nncore.spec.loss import choose_loss, loss_faults
from nncore.spec.preprocessing import preprocessed
from nncore.spec.reports import check_reports
from nncore.spec.resolved import CountedSpec, Found, ResolvedSpec, Sizes
from nncore.spec.sizes import batches_per_step, measured, sizes_of
from nncore.spec.training import TrainingSpec
from nncore.split import Division, divide
from nncore.table.column import Column, ColumnInfo

OF_THE_DATA = frozenset({"inputs", "target", "sample_weight", "validation", "test", "fold", "group", "split_column"})
"""The fields that nothing can be said of without knowing the data."""

_BEYOND_COUNTING = 2**40
"""A layer of more units than this is refused by itself: no limit on parameters allows it."""


def resolve(
    spec: TrainingSpec,
    columns: Sequence[ColumnInfo],
    rows: int,
    limits: Limits,
    *,
    unread: AbstractSet[str] = frozenset(),
    values: Callable[[str], np.ndarray] | None = None,
) -> ResolvedSpec:
    """`spec` with every default written in for data of these columns, and its sizes. The seed is drawn if none was given.

    A batch_size beyond the number of training rows becomes that number. Nothing large is allocated, whatever the spec says.
    values: gives all rows of a column, by name; asked only where classes are to be balanced, or rows divided by a column.
    unread: fields that are at fault already and hold something else here (see read_spec); what depends on them is not judged.
    Raises InvalidSpec with all faults, their pointers relative to the training spec; always where something is unread.
    """
    faults, of_inputs = Faults(), Faults()
    by_name = {column.name: column for column in columns}
    read = None if values is None else _columns(by_name, values)
    target = None if "target" in unread else target_column(spec, by_name, read, faults)
    asks_known = "inputs" not in unread and (spec.inputs is not None or target is not None)
    set_aside = () if spec.inputs else (spec.sample_weight, spec.group, spec.split_column)
    possible = {name: column for name, column in by_name.items() if name not in set_aside}
    inputs = input_columns(spec, possible, of_inputs) if asks_known else []
    check_weight_column(spec, by_name, read, faults)
    asks_known = asks_known and "preprocess" not in unread
    preprocess, items = preprocessed(spec, inputs, of_inputs) if asks_known else ([], [])
    faults.extend(of_inputs.found)
    check_magnitudes(spec, [*inputs, *([target] if target else [])], faults)
    if "network" not in unread and asks_known:
        check_tokens(spec, inputs, preprocess, faults)
    input_shape = input_shape_of(spec, items)
    output_shape = None
    if "network" not in unread:
        output_shape = _network(spec, input_shape, limits, faults, inputs_are_known=asks_known and not of_inputs)

    loss: LossSpec | None = None
    if target and output_shape is not None and "loss" not in unread:
        loss = choose_loss(spec, target, prod(output_shape))
        faults.extend(loss_faults(spec, loss, target, prod(output_shape)))
    of_classes = None if loss is None else _of_classes(loss, target, output_shape)
    metrics = _metrics(spec, bool(of_classes), loss, prod(output_shape or ()), faults)
    seed = secrets.randbelow(2**31) if spec.seed is None else spec.seed
    parts = RowParts(Division(seed))
    if not unread & {"validation", "test", "fold", "group", "split_column", "seed", "target"}:
        parts = row_parts(spec, by_name, of_classes, rows, seed, read, faults)
    of_augment = Faults()
    augment = augmented(spec, items, loss, of_augment)
    faults.extend(of_augment.found)
    shapes = ([] if of_augment else augment, input_shape, output_shape)

    def fits(batch_size: int) -> bool:
        if output_shape is None:
            return True
        accumulate = min(spec.accumulate, -(-rows // batch_size))
        return measured(spec, loss, shapes[0], input_shape, output_shape, rows, batch_size, accumulate)[1] <= limits.max_memory_bytes

    counted, found = counted_spec(spec, max(1, rows - sum(parts.held_out)), fits, limits)
    sizes = sizes_of(counted, loss, *shapes, rows, parts.held_out, limits, faults)

    optimizer = _optimizer(spec, sizes, faults, found)
    if sizes is not None:
        _check_batches(counted, sizes, faults)
        check_reports(spec, sizes, faults)
        if isinstance(spec.optimizer, LBFGS):
            check_full_batch(counted, spec.optimizer, sizes, faults)

    if faults or unread or target is None or loss is None or output_shape is None or sizes is None:
        raise InvalidSpec(fault for fault in faults.found if fault.pointer[1:].partition("/")[0] not in unread)
    if isinstance(loss, LossOfClasses | BinaryCrossEntropy) and loss.class_weights == "balanced":
        if values is None:
            raise TypeError("balanced class weights are counted: resolve needs `values`")
        training_rows = divide(rows, parts.division, _columns(by_name, values)).training_rows
        labels = values(target.name)[training_rows].astype(np.int64)
        loss = loss.balanced(labels, prod(output_shape)) if isinstance(loss, LossOfClasses) else loss.balanced(labels)
    return ResolvedSpec(
        network=spec.network,
        inputs=[column.name for column in inputs],
        target=target.name,
        loss=loss,
        optimizer=optimizer,
        batch_size=min(counted.batch_size, sizes.training_rows),
        accumulate=batches_per_step(counted, sizes.training_rows),
        max_seconds=spec.max_seconds,
        sample_weight=spec.sample_weight,
        epochs=counted.epochs,
        early_stopping=counted.early_stopping,
        seed=seed,
        shuffle=spec.shuffle,
        dtype=spec.dtype,
        validation=parts.validation,
        test=parts.test,
        fold=spec.fold,
        group=spec.group,
        split_column=spec.split_column,
        preprocess=preprocess,
        preprocess_target=spec.preprocess_target,
        augment=augment,
        report_every_steps=spec.report_every_steps,
        diagnostics=spec.diagnostics,
        metrics=metrics,
        item_shapes=[column.item_shape if column.categories is None else None for column in inputs],
        input_shape=list(input_shape),
        output_shape=list(output_shape),
        classes=_classes(target, prod(output_shape)) if of_classes else None,
        sizes=sizes,
        found=found,
    )


def _network(
    spec: TrainingSpec, input_shape: tuple[int, ...], limits: Limits, faults: Faults, *, inputs_are_known: bool
) -> tuple[int, ...] | None:
    """The shape of one item that comes out; None where the network does not fit or is too large to look at.

    inputs_are_known: false where some are at fault; then that a layer does not fit them says nothing.
    """
    layers = list(spec.network.every_layer())
    if len(layers) > limits.max_layers:
        most = f"at most {limits.max_layers:,} layers"
        faults.add("/network/layers", "too_many_layers", f"expected {most}, got {len(layers):,}", expected=most, got=f"{len(layers):,}")
        return None
    for at, layer in layers:
        if reason := layer.untrainable():
            where = f"/network{at}/activation" if hasattr(layer, "activation") else f"/network{at}"
            faults.add(where, "untrainable_layer", reason, got=short(getattr(layer, "activation", layer)))
        _check_given(layer, f"/network{at}", spec.dtype, faults)
    if input_shape == (0,):
        return None  # the inputs are at fault, and told
    try:
        shapes = spec.network.shapes(input_shape)
    except InvalidSpec as refused:
        faults.extend(refused.faults if inputs_are_known else (), "/network")
        return None
    for number, shape in enumerate(shapes[1:]):
        if prod(shape) > _BEYOND_COUNTING:
            most = f"at most {limits.max_parameters:,} parameters"
            message = f"the network is too large: expected {most}, but layer {number} alone has {short(prod(shape))} outputs"
            faults.add(pointer("network", "layers", number), "too_many_parameters", message, expected=most, got=short(prod(shape)))
            return None
    return shapes[-1]


def _check_given(layer: Layer, at: str, dtype: str, faults: Faults) -> None:
    """Given parameters must fit into the dtype of training."""
    for name in layer.given_names if dtype == "float32" else ():
        largest = largest_of(getattr(layer, name) or [])
        if largest > LARGEST["float32"]:
            message = f'{name} holds {largest:g}, more than float32 can; set "dtype" to "float64"'
            faults.add(f"{at}/{name}", "too_large_number", message, expected="at most 3.4e38", got=f"{largest:g}")


def _check_batches(spec: CountedSpec, sizes: Sizes, faults: Faults) -> None:
    """Every batch, the partial last one of an epoch too, must have the rows that each layer needs."""
    rows = sizes.training_rows
    batch_size = min(spec.batch_size, rows)
    smallest = rows % batch_size or batch_size
    for at, layer in spec.network.every_layer():
        fewest = layer.fewest_rows
        if smallest < fewest:
            fitting = next((size for size in range(max(spec.batch_size, fewest), rows + 1) if not 0 < rows % size < fewest), None)
            remedy = f"set batch_size to {fitting:,}" if fitting else "send more rows"
            message = (
                f"{counted(rows, 'training row')} in batches of {batch_size:,} leave a batch of {smallest}, "
                f"but the layer at {at} takes batches of at least {fewest} rows; {remedy}"
            )
            faults.add("/batch_size", "batch_too_small", message, expected=f"at least {fewest} rows in every batch", got=str(smallest))
            return


def _of_classes(loss: LossSpec, target: ColumnInfo | None, output_shape: tuple[int, ...] | None) -> bool:
    """Whether the target is classes."""
    if target is None or output_shape is None or loss.type in ("mean_squared_error", "mean_absolute_error", "huber"):
        return False
    return target.categories is not None or isinstance(loss, LossOfClasses) or (target.integral and prod(output_shape) == 1)


def _classes(target: ColumnInfo, outputs: int) -> list[str]:
    """What the labels of a target that is classes are called."""
    return list(target.categories or ([str(label) for label in range(min(outputs, 1_000_000))] if outputs > 1 else ["0", "1"]))


JUDGED: dict[str, str] = {name: metric.judges for name, metric in METRICS.items()}
JUDGED |= {name: table.judges for name, table in TABLES.items()}
_NUMBERS_FOR_CLASSES = ("metric_needs_classes", "counts right classes", "a number", "choose a cross-entropy loss")
_CLASSES_FOR_NUMBERS = ("metric_needs_numbers", "measures distances of numbers", "a class", "choose a loss of numbers")


def _metrics(spec: TrainingSpec, of_classes: bool, loss: LossSpec | None, outputs: int, faults: Faults) -> list[AskedMetric]:
    numbers = not of_classes and loss is not None and loss.type != "binary_cross_entropy"
    if spec.metrics is None:
        return ["accuracy"] if of_classes else []
    for position, name in enumerate(spec.metrics):
        at = pointer("metrics", position)
        if name in spec.metrics[:position]:
            faults.add(at, "duplicate_metric", f"the metric {short(name)} stands twice; take one out", got=short(name))
        elif loss is not None and numbers != (JUDGED[name] == "numbers"):
            code, judged, found, remedy = _NUMBERS_FOR_CLASSES if numbers else _CLASSES_FOR_NUMBERS
            message = (
                f"{name} {judged}, but under {loss.type} the target {short(spec.target)} is {found}; leave the metric out, or {remedy}"
            )
            faults.add(at, code, message, got=short(name))
        elif name in TABLES and outputs > MOST_CLASSES:
            message = f"{name} is told of at most {MOST_CLASSES} classes, got {outputs:,}; leave it out, or take f1_macro"
            faults.add(at, "too_many_classes", message, expected=f"at most {MOST_CLASSES} classes", got=f"{outputs:,}")
        elif loss is not None and JUDGED[name] == "labels" and loss.compares_with != "labels":
            message = f"{name} ranks several classes, but under {loss.type} there are only yes and no; leave it out, or take accuracy"
            faults.add(at, "metric_needs_labels", message, got=short(name))
    return spec.metrics


def _optimizer(spec: TrainingSpec, sizes: Sizes | None, faults: Faults, found: list[Found]) -> OptimizerSpec:
    """The optimizer, with the end of its schedule written in. A learning rate that has to be found is noted in `found`."""
    optimizer = spec.optimizer
    if optimizer.learning_rate == AUTO:
        how = "some are tried, when a worker first takes the job"
        if isinstance(optimizer, LBFGS):
            optimizer, how = optimizer.model_copy(update={"learning_rate": 1.0}), "lbfgs finds the length of every step by itself"
        rate = None if optimizer.learning_rate == AUTO else optimizer.rate
        found.append(Found(pointer=RATE_POINTER, value=rate, how=how))
    try:
        return optimizer if sizes is None else optimizer.resolved(sizes.steps)
    except InvalidSpec as refused:
        faults.extend(refused.faults, "/optimizer")
        return spec.optimizer


def _columns(by_name: Mapping[str, ColumnInfo], values: Callable[[str], np.ndarray]) -> Callable[[str], Column]:
    """Gives the columns that the data holds, read as they are asked for."""

    def column(name: str) -> Column:
        categories = by_name[name].categories
        return Column(name, values(name), None if categories is None else tuple(categories))

    return column
