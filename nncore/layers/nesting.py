"""How many layers a definition may hold, and how deep within one another: looked at before any of them is read."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError

MOST_LAYERS = 10_000  # that are looked at, those within others counted; an installation allows fewer
DEEPEST = 16  # compositions within compositions


def bounded(layers: Any) -> Any:
    """`layers` as they are, unless they hold too many layers or nest too deep. For a validator that runs before all others."""
    waiting, nested = [(layers, 0)], 0
    while waiting:
        listed, depth = waiting.pop()
        if not isinstance(listed, list) or len(listed) > MOST_LAYERS:
            continue  # refused where it is read
        if depth > DEEPEST:
            raise PydanticCustomError(
                "nested_too_deep", "layers may stand within layers {most} deep; flatten the network", {"most": DEEPEST}
            )
        nested += len(listed) if depth else 0
        if nested > MOST_LAYERS:
            raise PydanticCustomError("too_many_layers", "a network holds at most {most} layers within others", {"most": MOST_LAYERS})
        for layer in listed:
            if isinstance(layer, dict):
                waiting.append((layer.get("layers"), depth + 1))
                branches = layer.get("branches")
                if isinstance(branches, list):
                    nested += len(branches)
                    waiting.extend((branch, depth + 1) for branch in branches[:MOST_LAYERS])
    return layers
