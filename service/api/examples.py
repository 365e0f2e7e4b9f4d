"""Bodies that the documentation shows. A test sends every one of them."""

from __future__ import annotations

from typing import Any

DATASET = "ds_01h455vb4pex5vsknk084sn02q"
UPLOAD = "up_01h455vb4pex5vsknk084sn02q"
JOB = "job_01h455vb4pex5vsknk084sn02q"

XOR_JOB: dict[str, Any] = {
    "dataset": DATASET,
    "inputs": ["x"],
    "target": "y",
    "network": {"layers": [{"type": "dense", "units": 2, "activation": "tanh"}, {"type": "dense", "units": 1}]},
    "loss": {"type": "binary_cross_entropy"},
    "optimizer": {"type": "adam", "learning_rate": 0.05},
    "batch_size": 4,
    "epochs": 500,
    "seed": 7,
    "validation": None,
    "preprocess": [],
    "metrics": ["accuracy"],
}

JOBS = {
    "xor": ("The smallest network that can tell apart what no single neuron can", XOR_JOB),
    "defaults": (
        "No more than must be said; the rest is chosen and echoed in `spec`",
        {"dataset": DATASET, "target": "y", "network": {"layers": [{"type": "dense", "units": 1}]}},
    ),
    "continued": ("Ten more epochs of a job, exactly as if it had been asked for them at once", {"parent": {"job": JOB}, "epochs": 10}),
}

CROSS_VALIDATIONS = {
    "folds": (
        "Two folds; five unless told otherwise",
        {"dataset": DATASET, "target": "y", "network": {"layers": [{"type": "dense", "units": 1}]}, "folds": 2},
    ),
}


def _neuron(activation: str, **given: Any) -> dict[str, Any]:
    return {"type": "dense", "units": 1, "activation": activation, **given}


NETWORKS = {
    "concert": (
        "Going to the concert: weights 1, 4, 3 and threshold 6; 7 > 6, so the answer is 1",
        {"network": {"layers": [_neuron("step", weight=[[1, 4, 3]], threshold=[6])]}, "inputs": [[0, 1, 1]]},
    ),
    "concert_with_bias": (
        "The same neuron with bias -6 in place of threshold 6",
        {"network": {"layers": [_neuron("step", weight=[[1, 4, 3]], bias=[-6])]}, "inputs": [[0, 1, 1]]},
    ),
    "at_the_threshold": (
        "Heaviside's step: 0 at exactly the threshold, 1 only above it",
        {"network": {"layers": [_neuron("step", weight=[[1]], threshold=[3])]}, "inputs": [[2.999], [3], [3.001]]},
    ),
    "four_sigmoids": (
        "x = 3 through four sigmoid layers of weight 1 and bias 0",
        {"network": {"layers": [_neuron("sigmoid", weight=[[1]], bias=[0]) for _ in range(4)]}, "inputs": [[3]]},
    ),
    "xor": (
        "The network of the Deep Learning Book (6.1) that computes exclusive or",
        {
            "network": {
                "layers": [
                    {"type": "dense", "units": 2, "activation": "relu", "weight": [[1, 1], [1, 1]], "bias": [0, -1]},
                    {"type": "dense", "units": 1, "weight": [[1, -2]], "bias": [0]},
                ]
            },
            "inputs": [[0, 0], [0, 1], [1, 0], [1, 1]],
        },
    ),
}
