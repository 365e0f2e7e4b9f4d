"""What is wrong with the augmentations of a spec, and the shapes they do not say."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nncore.augment import AugmentSpec, Spatial
from nncore.faults import Faults, counted, pointer, short
from nncore.losses import LossSpec
from nncore.preprocess import Item
from nncore.spec.training import TrainingSpec


def augmented(spec: TrainingSpec, items: Sequence[Item], loss: LossSpec | None, faults: Faults) -> list[AugmentSpec]:
    """The augmentations with their shapes written in. items: the preprocessed inputs; loss: None where it is not known."""
    numbers, found = sum(item.features for item in items), []
    for number, augmentation in enumerate(spec.augment):
        at, called = pointer("augment", number), augmentation.type
        if getattr(spec.network.layers[0], "vocabulary", None) is not None:
            message = f"{called} changes numbers, but an embedding looks them up; leave it out"
            faults.add(at, "augmented_tokens", message)
        if called == "mixup" and any(other.type == "mixup" for other in spec.augment[:number]):
            faults.add(at, "duplicate_mixup", "rows are mixed once; leave this mixup out")
        if called == "mixup" and spec.sample_weight is not None:
            message = "rows of different weights cannot be mixed: two rows would count differently; leave mixup or sample_weight out"
            faults.add(at, "mixup_with_weights", message)
        if loss is not None and (reason := augmentation.unfit(loss)):
            faults.add(at, "unfit_loss", f"{called}: {reason}")
        if isinstance(augmentation, Spatial) and items:
            found.append(_with_shape(augmentation, at, items, numbers, faults))
        else:
            found.append(augmentation)
    return found


def _with_shape(augmentation: AugmentSpec, at: str, items: Sequence[Item], numbers: int, faults: Faults) -> AugmentSpec:
    if not isinstance(augmentation, Spatial):
        return augmentation
    if augmentation.shape is None and len(items) > 1:
        message = (
            f"{augmentation.type} has to know how the {numbers:,} numbers of {counted(len(items), 'column')} lie; "
            'say it with "shape", [8, 8] for example'
        )
        faults.add(f"{at}/shape", "missing_field", message, expected="a shape", got="nothing")
        return augmentation
    shape = list(items[0].shape or (1,)) if augmentation.shape is None else augmentation.shape
    if prod(shape) != numbers:
        message = f"{augmentation.type}: expected a shape of {numbers:,} numbers, as an item has, got {short(shape)} of {prod(shape):,}"
        faults.add(f"{at}/shape", "wrong_shape", message, expected=f"{numbers:,} numbers", got=f"{prod(shape):,}")
    elif wrong := augmentation.unfit_shape(tuple(shape)):
        field, reason = wrong
        faults.add(f"{at}/{field}", "unfit_shape", f"{augmentation.type}: {reason}")
    return augmentation.model_copy(update={"shape": shape})
