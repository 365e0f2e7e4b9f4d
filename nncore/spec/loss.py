"""Which loss fits a target: the one that is chosen where none is asked for, and what is wrong with one that was."""

from __future__ import annotations

from collections.abc import Iterator

from nncore.errors import Fault
from nncore.faults import counted, pointer, short
from nncore.losses import BinaryCrossEntropy, LossSpec, MeanSquaredError, NegativeLogLikelihood, SoftmaxCrossEntropy
from nncore.losses.of_classes import LossOfClasses
from nncore.spec.training import TrainingSpec
from nncore.table.column import ColumnInfo


def choose_loss(spec: TrainingSpec, target: ColumnInfo, outputs: int) -> LossSpec:
    """The loss that was asked for, or the one that the target and the number of outputs suggest."""
    if spec.loss is not None:
        return spec.loss
    if spec.preprocess_target is not None and target.categories is None:
        return MeanSquaredError()
    if _is_labels(target) and outputs > 1:
        return SoftmaxCrossEntropy()
    if target.categories is not None or (_is_labels(target) and _size(target) == 1 and (target.maximum or 0) <= 1):
        return BinaryCrossEntropy()
    return MeanSquaredError()


def loss_faults(spec: TrainingSpec, loss: LossSpec, target: ColumnInfo, outputs: int) -> Iterator[Fault]:
    """What keeps `loss` from comparing the outputs with the target."""
    yield from _activation_faults(spec, loss)
    if spec.preprocess_target is not None and (isinstance(loss, LossOfClasses | BinaryCrossEntropy) or target.categories is not None):
        message = (
            f"{spec.preprocess_target.type} scales numbers, but under {loss.type} the target {short(target.name)} is classes; "
            "leave preprocess_target out, or choose a loss of numbers"
        )
        yield Fault("/preprocess_target", "target_is_classes", message, "a target of numbers", "classes")
    if isinstance(loss, LossOfClasses):
        yield from _class_faults(spec, loss, target, outputs)
    elif isinstance(loss, BinaryCrossEntropy):
        yield from _binary_faults(spec, loss, target, outputs)
    else:
        yield from _number_faults(spec, loss, target, outputs)


def _is_labels(target: ColumnInfo) -> bool:
    """True for categories, and for single whole numbers from 0."""
    return target.categories is not None or (target.integral and not target.item_shape and (target.minimum or 0) >= 0)


def _size(target: ColumnInfo) -> int:
    size = 1
    for length in target.item_shape:
        size *= length
    return size


def _last_activation(spec: TrainingSpec) -> tuple[int, str]:
    """The activation through which the outputs have passed last, and the number of its layer."""
    for number, layer in reversed(list(enumerate(spec.network.layers))):
        if hasattr(layer, "activation"):
            return number, layer.activation
        if layer.inner() or hasattr(layer, "units"):  # it makes other numbers of them
            break
    return 0, ""


def _activation_faults(spec: TrainingSpec, loss: LossSpec) -> Iterator[Fault]:
    """The loss applies sigmoid or softmax itself: it must not follow one."""
    number, activation = _last_activation(spec)
    if activation in loss.refused_after:
        kind = "softmax" if isinstance(loss, SoftmaxCrossEntropy) else "sigmoid"
        message = (
            f"{loss.type} takes logits and applies {kind} itself, so it cannot follow {activation}; "
            'set the activation of the last layer to "linear", or choose the loss mean_squared_error'
        )
        yield Fault(pointer("network", "layers", number, "activation"), "loss_takes_logits", message, '"linear"', short(activation))
    wanted = loss.wanted_after
    if wanted is not None and activation != wanted:
        message = (
            f"{loss.type} takes logarithms of probabilities, as {wanted} gives them, but the network ends in {activation or 'a layer'}; "
            f'set the activation of the last layer to "{wanted}", or choose the loss softmax_cross_entropy'
        )
        at = pointer("network", "layers", number, "activation") if activation else "/network/layers"
        yield Fault(at, "loss_takes_log_probabilities", message, short(wanted), short(activation) if activation else "no activation")


def _class_faults(
    spec: TrainingSpec, loss: SoftmaxCrossEntropy | NegativeLogLikelihood, target: ColumnInfo, outputs: int
) -> Iterator[Fault]:
    name, at_units = short(target.name), _units_pointer(spec)
    if isinstance(loss.class_weights, list) and len(loss.class_weights) != outputs:
        message = (
            f"class_weights has one number per class: the last layer has {counted(outputs, 'output')}, got {len(loss.class_weights):,}"
        )
        yield Fault("/loss/class_weights", "wrong_length", message, f"{outputs:,}", f"{len(loss.class_weights):,}")
    ignored = loss.ignore_index
    if ignored is not None and target.categories is None and not 0 <= ignored < outputs:
        # What lies between is not known here: that no other label is outside the classes is seen when the data is prepared.
        inside = {"minimum": 0.0, "maximum": outputs - 1.0}
        target = target.model_copy(update={end: least for end, least in inside.items() if getattr(target, end) == ignored})
    if not _is_labels(target):
        got = f"items of shape {target.item_shape}" if target.item_shape else f"numbers from {target.minimum:g} to {target.maximum:g}"
        if not target.item_shape and not target.integral:
            got += ", not all whole"
        message = (
            f"{loss.type} compares with labels, whole numbers from 0, but the column {name} holds {got}; "
            "give labels or text, or choose another loss"
        )
        yield Fault("/target", "not_labels", message, "labels", got)
    elif target.categories is not None:
        count = len(target.categories)
        if count != outputs or count < 2:
            message = (
                f"the column {name} has {count} categor{'y' if count == 1 else 'ies'}, and the last layer {counted(outputs, 'output')}"
            )
            if count < 2:
                yield Fault("/target", "one_class", f"{message}; with a single class there is nothing to learn", "at least 2 classes", "1")
            else:
                yield Fault(at_units, "wrong_units", f"{message}; give it {count} units, one per category", str(count), f"{outputs:,}")
    elif (target.maximum or 0) >= outputs:
        least = int(target.maximum or 0) + 1
        message = (
            f"the column {name} holds labels up to {least - 1:,}, but the last layer has {counted(outputs, 'unit')}, "
            "one for each label from 0; "
            f"give it at least {least:,} units, or number the labels from 0 without gaps"
        )
        yield Fault(at_units, "label_outside_classes", message, f"at least {least:,}", f"{outputs:,}")
    elif outputs < 2:
        message = "softmax over a single output is always 1, so there is nothing to learn; give the last layer one unit per class"
        yield Fault(at_units, "one_class", message, "at least 2", "1")


def _binary_faults(spec: TrainingSpec, loss: BinaryCrossEntropy, target: ColumnInfo, outputs: int) -> Iterator[Fault]:
    name, at_units = short(target.name), _units_pointer(spec)
    if isinstance(loss.class_weights, list) and len(loss.class_weights) != 2:
        message = f"class_weights of binary_cross_entropy are two numbers, of 0 and of 1, got {len(loss.class_weights):,}"
        yield Fault("/loss/class_weights", "wrong_length", message, "2", f"{len(loss.class_weights):,}")
    if loss.class_weights == "balanced" and target.categories is None and not target.integral:
        message = f"balanced class weights are counted over answers of 0 and 1, but the column {name} holds fractions; give two numbers"
        yield Fault("/loss/class_weights", "not_labels", message, "two numbers", '"balanced"')
    if target.categories is not None:
        count = len(target.categories)
        if count != 2:
            message = (
                f"binary_cross_entropy tells two classes apart, but the column {name} has {count:,}; "
                f"{'give the last layer one unit per class and choose softmax_cross_entropy' if count > 2 else 'there is nothing to learn'}"
            )
            yield Fault(at_units if spec.loss is None and count > 2 else "/target", "not_two_classes", message, "2 classes", f"{count:,}")
    elif (target.minimum or 0) < 0 or (target.maximum or 0) > 1:
        got = f"numbers from {target.minimum:g} to {target.maximum:g}"
        message = (
            f"binary_cross_entropy compares with 0 and 1 (or probabilities between), but the column {name} holds {got}; "
            "rescale it or choose another loss"
        )
        yield Fault("/target", "target_out_of_range", message, "0 to 1", got)
    yield from _size_faults(spec, target, outputs, "binary_cross_entropy")


def _number_faults(spec: TrainingSpec, loss: LossSpec, target: ColumnInfo, outputs: int) -> Iterator[Fault]:
    if target.categories is not None:
        message = (
            f"{loss.type} compares with numbers, but the column {short(target.name)} holds text; "
            "choose softmax_cross_entropy, or a target column of numbers"
        )
        yield Fault("/loss", "text_target", message, "a target of numbers", "a target of text")
    else:
        yield from _size_faults(spec, target, outputs, loss.type)


def _size_faults(spec: TrainingSpec, target: ColumnInfo, outputs: int, loss: str) -> Iterator[Fault]:
    size = _size(target)
    if size != outputs:
        message = (
            f"{loss} compares every output with a number of the target: "
            f"the column {short(target.name)} has {counted(size, 'number')} per row, "
            f"the last layer {counted(outputs, 'output')}; give it {counted(size, 'unit')}"
        )
        yield Fault(_units_pointer(spec), "wrong_units", message, f"{size:,}", f"{outputs:,}")


def _units_pointer(spec: TrainingSpec) -> str:
    """Where the number of outputs is written."""
    for number, layer in reversed(list(enumerate(spec.network.layers))):
        if hasattr(layer, "units"):
            return pointer("network", "layers", number, "units")
    return "/network/layers"
