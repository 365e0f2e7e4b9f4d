"""What a keras.Sequential computes, the network made of its config and its weights computes. keras runs on jax in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore.evaluate import evaluate
from nncore.network import NetworkSpec
from sankofa import InvalidInput, network_from_keras

MODELS = {
    "pictures": """[
        keras.Input((8, 7, 2)), L.Conv2D(4, 3, padding="same", strides=2, activation="relu"), L.BatchNormalization(),
        L.Conv2D(4, (2, 1), groups=2, use_bias=False), L.MaxPooling2D(2, padding="same"), L.AveragePooling2D(2, 1, padding="same"),
        L.Flatten(), L.Dropout(0.2), L.BatchNormalization(scale=False, center=False), L.Dense(5, activation="gelu"),
        L.LayerNormalization(), L.Dense(3), L.Softmax()]""",
    "sequences": """[
        keras.Input((9, 3)), L.Conv1D(4, 3, dilation_rate=2, activation="silu"), L.MaxPooling1D(2), L.ReLU(), L.GlobalAveragePooling1D(),
        L.Dense(2, activation="sigmoid")]""",
    "recurrent": """[
        keras.Input((6, 3)), L.LSTM(4, return_sequences=True), L.GRU(3, return_sequences=True), L.SimpleRNN(4, activation="relu"),
        L.Dense(2), L.LeakyReLU(negative_slope=0.01), L.ELU(), L.Activation("softplus")]""",
    "recurrent_and_flat": "[keras.Input((5, 2)), L.LSTM(3, return_sequences=True), L.Flatten(), L.Dense(2, activation='elu')]",
    "tokens": "[keras.Input((4,)), L.Embedding(7, 3), L.Flatten(), L.Dense(2, activation='tanh')]",
    "reshaped": "[keras.Input((16,)), L.Reshape((4, 4, 1)), L.Conv2D(2, 2), L.Flatten(), L.Dense(2, use_bias=False, activation='selu')]",
}
PROGRAM = """
import json, os, sys
os.environ["KERAS_BACKEND"] = "jax"
import keras, numpy as np
L = keras.layers
keras.utils.set_random_seed(0)
made = {}
for name, layers in json.load(sys.stdin).items():
    model = keras.Sequential(eval(layers))
    random = np.random.default_rng(0)
    model.set_weights([np.abs(w + random.normal(0, 0.3, w.shape)) if "variance" in v.path else w + random.normal(0, 0.3, w.shape)
                       for v, w in zip(model.weights, model.get_weights())])
    shape = (3, *model.input_shape[1:])
    inputs = random.integers(0, 7, shape) if name == "tokens" else random.normal(0, 1, shape)
    made[name] = {"config": model.get_config(), "weights": [w.tolist() for w in model.get_weights()], "inputs": inputs.tolist(),
                  "outputs": np.asarray(model(inputs)).tolist()}
json.dump(made, open(sys.argv[1], "w"), default=str)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each model its config, weights, some inputs and what keras answers."""
    if not (find_spec("keras") and find_spec("jax")):
        pytest.skip("no keras")
    path: Path = tmp_path_factory.mktemp("keras") / "answers.json"
    subprocess.run([sys.executable, "-c", PROGRAM, str(path)], input=json.dumps(MODELS), text=True, check=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.oracle
@pytest.mark.parametrize("name", MODELS)
def test_the_predictions_are_equal(answers: dict[str, Any], name: str) -> None:
    told = answers[name]
    network = NetworkSpec.model_validate(network_from_keras(told["config"], [np.array(values) for values in told["weights"]]))
    inputs = np.array(told["inputs"])
    if name in ("pictures", "sequences"):  # channels first
        inputs = np.moveaxis(inputs, -1, 1)
    np.testing.assert_allclose(evaluate(network, inputs.tolist())["outputs"], told["outputs"], atol=1e-5, rtol=0)


def layer(name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": name, "config": config}


def test_without_weights_it_is_the_layers_alone() -> None:
    config = {"layers": [layer("InputLayer", batch_shape=[None, 2]), layer("Dense", units=8, activation="relu"), layer("Dense", units=1)]}
    assert network_from_keras(config)["layers"] == [
        {"type": "dense", "units": 8, "activation": "relu", "use_bias": True},
        {"type": "dense", "units": 1, "activation": "linear", "use_bias": True},
    ]


def test_every_layer_that_has_no_equal_is_named_with_its_place_and_what_to_do() -> None:
    layers = [
        layer("Dense", units=2),
        layer("MultiHeadAttention"),
        layer("Dense", units=2, activation="exponential"),
        layer("LeakyReLU", negative_slope=0.3),
    ]
    with pytest.raises(InvalidInput) as refused:
        network_from_keras({"layers": layers})
    for named in (
        "layer 1 (MultiHeadAttention)",
        "leave it out",
        "layer 2 (Dense)",
        "'exponential'",
        "layer 3 (LeakyReLU)",
        "negative_slope=0.01",
    ):
        assert named in str(refused.value)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([layer("Embedding", input_dim=3, output_dim=2), layer("GlobalMaxPooling1D")], "behind a layer that gives"),
        ([layer("InputLayer", batch_shape=[None, 8]), layer("Reshape", target_shape=[2, 2, 2])], "one channel"),
        ([layer("GlobalMaxPooling1D", data_format="channels_first")], "channels_last"),
        ([], "at least one layer"),
    ],
)
def test_what_lies_otherwise_here_is_refused(layers: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        network_from_keras({"layers": layers})


def test_weights_that_are_not_those_of_the_layers_are_refused() -> None:
    config = {"layers": [layer("Dense", units=1)]}
    with pytest.raises(InvalidInput, match="expected a bias in weights"):
        network_from_keras(config, [np.ones((2, 1))])
    with pytest.raises(InvalidInput, match="got 1 more"):
        network_from_keras(config, [np.ones((2, 1)), np.ones(1), np.ones(1)])
    for config in (None, {}, {"layers": 3}):
        with pytest.raises(InvalidInput, match="get_config"):
            network_from_keras(config)  # type: ignore[arg-type]
