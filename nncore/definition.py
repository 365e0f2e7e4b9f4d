"""The base of everything a user may write in a spec: frozen, strict, without unknown fields, without NaN or infinity."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Definition(BaseModel):
    """A part of a spec. Strict: a number in quotes or a true where a whole number belongs is a fault, not a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
