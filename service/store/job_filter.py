"""Which of a tenant's jobs are meant: by state, kind, dataset, cross-validation, name, tags, and when they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import Job
from service.store.states import State


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
    plain: sa.ColumnElement[Any]
    if store.is_sqlite:
        tag = sa.func.json_each(Job.tags).table_valued("key", "value", "type")
        plain = sa.case(*((tag.c.type == word, word) for word in ("true", "false", "null")), else_=sa.cast(tag.c.value, sa.Text))
    else:
        tag = sa.func.json_each_text(Job.tags).table_valued("key", "value")
        plain = sa.func.coalesce(tag.c.value, "null")
    found = sa.select(sa.literal(1)).select_from(tag).where(tag.c.key == name)
    return (found if value is None else found.where(plain == value)).correlate(Job).exists()
