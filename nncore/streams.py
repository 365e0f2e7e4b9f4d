"""Independent streams of random numbers, all grown from a job's one seed.

Each purpose has a stream of its own, so that drawing more for one (a larger network needs more initial weights) never
changes another (which rows are held out for validation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

StreamName = Literal["init", "shuffle", "split", "test"]

# The keys are part of every job's result: they may be added to, never changed.
SPAWN_KEYS: dict[StreamName, int] = {"init": 0, "shuffle": 1, "split": 2, "test": 3}

LARGEST_SEED = 2**63 - 1


def stream(seed: int, name: StreamName) -> np.random.Generator:
    """The generator for one purpose of the job with this seed (0 to LARGEST_SEED).

    The same seed and name give the same numbers on the same build of numpy; across builds numpy promises nothing, so what
    must survive an upgrade saves the state of the generator (`generator_state`) or what was drawn.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(SPAWN_KEYS[name],))))


def generator_state(generator: np.random.Generator) -> np.ndarray:
    """The whole state of a PCG64 generator as six uint64: state (high, low), increment (high, low), kept half word (there?, value)."""
    state: Mapping[str, Any] = generator.bit_generator.state
    value, increment = state["state"]["state"], state["state"]["inc"]
    words = [value >> 64, value & _WORD, increment >> 64, increment & _WORD, state["has_uint32"], state["uinteger"]]
    return np.array(words, dtype=np.uint64)


def set_generator_state(generator: np.random.Generator, words: np.ndarray) -> None:
    """Put a PCG64 generator where `generator_state` found it."""
    value_high, value_low, increment_high, increment_low, has_half, half = (int(word) for word in words)
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": value_high << 64 | value_low, "inc": increment_high << 64 | increment_low},
        "has_uint32": has_half,
        "uinteger": half,
    }


_WORD = 2**64 - 1
