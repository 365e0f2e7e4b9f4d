"""Which of a tenant's jobs are meant: by state, kind, dataset, cross-validation, name, tags, and when they were made."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import Job
from service.store.states import State

_FRACTIONAL = re.compile(r"-?[0-9]+(?=[.eE])(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class JobFilter:
    """Conditions that all must hold; what is left out holds for every job.

    tags: names, with the value as text (see `as_text`), or None for any. since, until: seconds since 1970, [since, until).
    """

    states: Sequence[State] = ()
    dataset_id: str | None = None
    name: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None
    kinds: Sequence[str] = ()
    cross_validation_id: str | None = None

    def where(self, store: Store) -> list[sa.ColumnElement[bool]]:
        """The same in SQL."""
        found: list[sa.ColumnElement[bool]] = [_tagged(store, name, value) for name, value in self.tags.items()]
        if self.states:
            found.append(Job.state.in_(self.states))
        if self.kinds:
            found.append(Job.kind.in_(self.kinds))
        if self.dataset_id is not None:
            found.append(Job.dataset_id == self.dataset_id)
        if self.cross_validation_id is not None:
            found.append(Job.cross_validation_id == self.cross_validation_id)
        if self.name is not None:
            found.append(Job.name == self.name)
        if self.since is not None:
            found.append(Job.created_at >= self.since)
        if self.until is not None:
            found.append(Job.created_at < self.until)
        return found


def as_text(value: Any) -> str:
    """The value of a tag as it is compared: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _tagged(store: Store, name: str, value: str | None) -> sa.ColumnElement[bool]:
    """Numbers with a fraction or an exponent are compared as numbers: 1e21 is written in many ways, and databases have their own."""
    plain: sa.ColumnElement[Any]
    number = None if value is None else _fractional(value)
    if store.is_sqlite:
        tag = sa.func.json_each(Job.tags).table_valued("key", "value", "type")
        plain = sa.case(*((tag.c.type == word, word) for word in ("true", "false", "null")), else_=sa.cast(tag.c.value, sa.Text))
        equal = sa.and_(tag.c.type.in_(("integer", "real")), tag.c.value == sa.literal(number, sa.Float))
    else:
        tag = sa.func.json_each(Job.tags).table_valued("key", sa.column("value", sa.JSON))
        text = tag.c.value.op("#>>", return_type=sa.Text)(sa.text("'{}'"))
        plain = sa.func.coalesce(text, "null")
        exactly = sa.cast(text, sa.Numeric) == sa.cast(sa.literal(repr(number)), sa.Numeric)
        equal = sa.case((sa.func.json_typeof(tag.c.value) == "number", exactly), else_=sa.false())
    found = sa.select(sa.literal(1)).select_from(tag).where(tag.c.key == name)
    if value is not None:
        found = found.where(plain == value if number is None else sa.or_(plain == value, equal))
    return found.correlate(Job).exists()


def _fractional(text: str) -> float | None:
    """The number that a text is in JSON, if it is finite and written with a fraction or an exponent."""
    value = float(text) if _FRACTIONAL.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None
