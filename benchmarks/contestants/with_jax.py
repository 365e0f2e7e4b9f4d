"""JAX: a jitted step, rows gathered inside it; and a whole epoch as one jitted lax.scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from contestants.cases import RATES, Case

Parameters = Any
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}


def steps(case: Case, dtype: str) -> Iterator[int]:
    """Trains; yields after every step."""
    inputs, labels, state, step = _training(case, *case.data(dtype), dtype)
    one = jax.jit(step, donate_argnums=0)
    random = np.random.default_rng(0)
    while True:
        for rows in _batches(random, len(labels), case.batch_size):
            state = one(state, inputs, labels, rows)
            jax.block_until_ready(state)
            yield 1


def epoch_steps(case: Case, dtype: str) -> Iterator[int]:
    """Trains; yields after every epoch of one compiled scan."""
    inputs, labels, state, step = _training(case, *case.data(dtype), dtype)
    scan = _scanned(step)
    random = np.random.default_rng(0)
    while True:
        batches = _batches(random, len(labels), case.batch_size)
        state = jax.block_until_ready(scan(state, inputs, labels, batches))
        yield len(batches)


def epochs(case: Case, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray) -> Iterator[np.ndarray]:
    """Trains; yields after every epoch the labels it gives to `test_inputs`. Rows that fill no batch wait for another epoch."""
    x, y, state, step = _training(case, inputs, labels, inputs.dtype.name)
    scan, answer = _scanned(step), jax.jit(partial(_outputs, case.layers))
    random = np.random.default_rng(0)
    while True:
        state = scan(state, x, y, _batches(random, len(labels), case.batch_size))
        yield np.asarray(answer(state[0], test_inputs).argmax(1))


def _scanned(step: Callable[..., Any]) -> Callable[..., Any]:
    def epoch(state: Any, inputs: jax.Array, labels: jax.Array, batches: jax.Array) -> Any:
        return lax.scan(lambda carried, rows: (step(carried, inputs, labels, rows), None), state, batches)[0]

    return jax.jit(epoch, donate_argnums=0)


def _batches(random: np.random.Generator, rows: int, batch_size: int) -> np.ndarray:
    full = rows // batch_size * batch_size
    return random.permutation(rows)[:full].reshape(-1, batch_size).astype(np.int32)


def _training(case: Case, inputs: np.ndarray, labels: np.ndarray, dtype: str) -> tuple[jax.Array, jax.Array, Any, Callable[..., Any]]:
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    x, y = jnp.asarray(inputs.astype(np.int32) if case.tokens else inputs), jnp.asarray(labels)
    parameters = _initial(case, np.random.default_rng(0), dtype)
    rate = RATES[case.optimizer]

    def loss(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
        log_probabilities = jax.nn.log_softmax(_outputs(case.layers, parameters, x))
        return -jnp.take_along_axis(log_probabilities, y[:, None], axis=1).mean()

    def step(state: Any, inputs: jax.Array, labels: jax.Array, rows: jax.Array) -> Any:
        parameters, first, second, count = state
        gradient = jax.grad(loss)(parameters, inputs[rows], labels[rows])
        if case.optimizer == "sgd":
            return jax.tree.map(lambda p, g: p - rate * g, parameters, gradient), first, second, count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        step_size, root = rate / (1 - 0.9 ** (count + 1)), jnp.sqrt(1 - 0.999 ** (count + 1))
        moved = jax.tree.map(lambda p, m, v: p - step_size * m / (jnp.sqrt(v) / root + 1e-8), parameters, first, second)
        return moved, first, second, count + 1

    def zeros() -> Parameters:
        return jax.tree.map(jnp.zeros_like, parameters)

    return x, y, (parameters, zeros(), zeros(), jnp.zeros((), dtype)), step


def _initial(case: Case, random: np.random.Generator, dtype: str) -> list[Parameters]:
    """Parameters of each layer: a list of arrays."""

    def uniform(*shape: int, fan_in: int) -> jax.Array:
        return jnp.asarray(random.uniform(-1, 1, shape) / np.sqrt(fan_in), dtype)

    parameters, shape = [], case.input_shape
    for layer in case.layers:
        kind, found = layer["type"], []
        if kind == "dense":
            found = [uniform(shape[0], layer["units"], fan_in=shape[0]), uniform(layer["units"], fan_in=shape[0])]
            shape = (layer["units"],)
        elif kind == "reshape":
            shape = (*layer["shape"][1:], layer["shape"][0])  # channels last: what XLA prefers on a CPU
        elif kind == "conv2d":
            size, filters, channels = layer["kernel_size"], layer["filters"], shape[2]
            fan_in = size * size * channels
            found = [uniform(size, size, channels, filters, fan_in=fan_in), uniform(filters, fan_in=fan_in)]
            less = 0 if layer.get("padding") == "same" else size - 1
            shape = (shape[0] - less, shape[1] - less, filters)
        elif kind == "max_pool":
            shape = (shape[0] // 2, shape[1] // 2, shape[2])
        elif kind == "flatten":
            shape = (int(np.prod(shape)),)
        elif kind == "batch_norm":
            found = [jnp.ones(shape[2], dtype), jnp.zeros(shape[2], dtype)]
        elif kind == "lstm":
            units = layer["units"]
            found = [uniform(shape[1], 4 * units, fan_in=units), uniform(units, 4 * units, fan_in=units), uniform(4 * units, fan_in=units)]
            shape = (units,)
        elif kind == "embedding":
            found = [jnp.asarray(random.standard_normal((layer["vocabulary"], layer["dimensions"])), dtype)]
            shape = (layer["dimensions"],)
        parameters.append(found)
    return parameters


def _outputs(layers: list[dict[str, Any]], parameters: list[Parameters], x: jax.Array) -> jax.Array:
    """Logits. Running statistics of batch_norm are left out: they are not needed to train."""
    for layer, own in zip(layers, parameters, strict=True):
        match layer["type"]:
            case "dense":
                x = x @ own[0] + own[1]
            case "reshape":
                channels, *sides = layer["shape"]
                x = x.reshape(-1, *sides, channels)
            case "conv2d":
                padding = layer.get("padding", "valid").upper()
                x = lax.conv_general_dilated(x, own[0], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + own[1]
            case "max_pool":
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            case "flatten":
                x = x.reshape(len(x), -1)
            case "batch_norm":
                mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
                x = (x - mean) * lax.rsqrt(variance + 1e-5) * own[0] + own[1]
            case "lstm":
                x = _last_state(own, x)
            case "embedding":
                x = own[0][x]
            case "mean_over_sequence":
                x = x.mean(1)
        if "activation" in layer:
            x = ACTIVATIONS[layer["activation"]](x)
    return x


def _last_state(own: Parameters, x: jax.Array) -> jax.Array:
    inside, recurrent, bias = own
    units = recurrent.shape[0]
    given = (x @ inside + bias).swapaxes(0, 1)
    nothing = jnp.zeros((len(x), units), x.dtype)

    def forward(state: tuple[jax.Array, jax.Array], z: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        hidden, cell = state
        i, f, g, o = jnp.split(z + hidden @ recurrent, 4, axis=1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

    return lax.scan(forward, (nothing, nothing), given)[0][0]
