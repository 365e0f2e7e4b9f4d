"""Keras on JAX: `fit` with jit compilation, a part of the rows at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

from contestants.cases import RATES, Case

STEPS_AT_ONCE = 50


def steps(case: Case, dtype: str) -> Iterator[int]:
    """Trains; yields after every call of fit."""
    inputs, labels = case.data(dtype)
    model = _model(case, dtype)
    part = min(len(labels) // case.batch_size, STEPS_AT_ONCE)
    rows = part * case.batch_size
    while True:
        model.fit(inputs[:rows], labels[:rows], batch_size=case.batch_size, epochs=1, verbose=0)
        yield part


def epochs(case: Case, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray) -> Iterator[np.ndarray]:
    """Trains; yields after every epoch the labels it gives to `test_inputs`."""
    model = _model(case, inputs.dtype.name)
    while True:
        model.fit(inputs, labels, batch_size=case.batch_size, epochs=1, verbose=0)
        yield model.predict(test_inputs, batch_size=len(test_inputs), verbose=0).argmax(1)


def _model(case: Case, dtype: str) -> keras.Sequential:
    keras.config.set_floatx(dtype)
    if dtype == "float64":
        import jax

        jax.config.update("jax_enable_x64", True)
    keras.utils.set_random_seed(0)
    made: list[keras.Layer] = [keras.Input(case.input_shape)]
    for layer in case.layers:
        match layer["type"]:
            case "dense":
                made.append(keras.layers.Dense(layer["units"], activation=layer.get("activation")))
            case "reshape":
                made.append(keras.layers.Reshape((*layer["shape"][1:], layer["shape"][0])))
            case "conv2d":
                padding, activation = layer.get("padding", "valid"), layer.get("activation")
                made.append(keras.layers.Conv2D(layer["filters"], layer["kernel_size"], padding=padding, activation=activation))
            case "max_pool":
                made.append(keras.layers.MaxPooling2D(layer["kernel_size"]))
            case "flatten":
                made.append(keras.layers.Flatten())
            case "batch_norm":
                made.append(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
            case "activation":
                made.append(keras.layers.Activation(layer["activation"]))
            case "lstm":
                made.append(keras.layers.LSTM(layer["units"]))
            case "embedding":
                made.append(keras.layers.Embedding(layer["vocabulary"], layer["dimensions"]))
            case "mean_over_sequence":
                made.append(keras.layers.GlobalAveragePooling1D())
    model = keras.Sequential(made)
    kind = keras.optimizers.SGD if case.optimizer == "sgd" else keras.optimizers.Adam
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kind(RATES[case.optimizer]), loss, jit_compile=True)
    return model
