"""A trained network as a torch.nn.Module: `Job.to_torch`. Nothing else in the package needs torch."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sankofa.errors import InvalidInput
from sankofa.tensors import read_safetensors, safetensors_metadata

if TYPE_CHECKING:
    import torch

COUNTERS = ".num_batches_tracked"  # of torch's batch_norm; no prediction needs them, and no file has them


def torch_module(data: bytes, *, preprocessing: bool = True) -> torch.nn.Sequential:
    """The network in a safetensors file of the service, with its weights, in use (`eval()`).

    preprocessing: whether the fitted steps stand around it, so that it takes inputs as they were uploaded, the columns side by side, and
    answers in the unit of the target.
    Raises InvalidInput where torch is not installed, or has no equal.
    """
    try:
        import torch
    except ImportError as error:
        raise InvalidInput("job.to_torch() needs PyTorch: pip install torch") from error
    from sankofa.in_torch.layers import sequential
    from sankofa.in_torch.preprocessing import InUnitOfTarget, Preprocessing

    try:
        described: dict[str, Any] = json.loads(safetensors_metadata(data)["sankofa"])
        layers, shape = described["network"]["layers"], described["input_shape"]
    except (KeyError, ValueError) as error:
        raise InvalidInput("the file says nothing of a network: expected a safetensors file of this service") from error
    with torch.random.fork_rng(devices=[]):  # what is drawn here is replaced: nobody's random numbers change by it
        network, _ = sequential(layers, torch.zeros(1, *shape))
    # Copies: arrays that lie in the file's bytes cannot be written to.
    parameters = {name: torch.tensor(values) for name, values in read_safetensors(data).items()}
    counters = {name: values for name, values in network.state_dict().items() if name.endswith(COUNTERS)}
    network.to(getattr(torch, described["dtype"])).load_state_dict(parameters | counters)
    around = OrderedDict(network=network)
    scaled = described.get("target_preprocessing")
    if preprocessing and described["preprocessing"]:
        columns = described["input_names"], described["item_shapes"]
        around["preprocessing"] = Preprocessing(described["preprocessing"], *columns, shape, described["dtype"])
        around.move_to_end("preprocessing", last=False)
    if preprocessing and scaled is not None:
        around["target"] = InUnitOfTarget(scaled["offset"], scaled["scale"])
    return (torch.nn.Sequential(around) if len(around) > 1 else network).eval()
