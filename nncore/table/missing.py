"""Which columns may miss numbers: an empty CSV cell, or a null in JSON, is then kept as NaN. Everywhere else it is refused."""

from __future__ import annotations

from collections.abc import Container


class _EveryColumn:
    def __contains__(self, name: object) -> bool:
        return True


EVERY_COLUMN: Container[str] = _EveryColumn()
NO_COLUMN: Container[str] = frozenset()
