"""What a column may be called."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from nncore.errors import Fault
from nncore.faults import pointer, short
from nncore.table.limits import MAX_NAME_CHARACTERS, TableLimits


def too_many_columns(count: int, limits: TableLimits) -> Fault | None:
    """The fault of more columns than a table may have."""
    if count <= limits.max_columns:
        return None
    most = f"at most {limits.max_columns:,} columns"
    return Fault("", "too_many_columns", f"expected {most}, got {count:,}", most, f"{count:,}")


def name_faults(names: Sequence[str], limits: TableLimits) -> Iterator[Fault]:
    """What is wrong with the names of a table's columns, or with their number."""
    if too_many := too_many_columns(len(names), limits):
        yield too_many
        return
    for position, name in enumerate(names, 1):
        if not name.strip():
            message = f"column {position}: expected a name, got an empty text; an index column is best left out of the file"
            yield Fault("", "empty_name", message, "a name", "an empty text")
        elif len(name) > MAX_NAME_CHARACTERS:
            most = f"a name of at most {MAX_NAME_CHARACTERS} characters"
            yield Fault(pointer(name[:30]), "long_name", f"column {position}: expected {most}, got {len(name):,}", most, f"{len(name):,}")
        elif any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            message = f"column {position}: expected a name of printable characters, got {name!a}"
            yield Fault(pointer(position - 1), "unprintable_name", message, "printable characters", ascii(name))
    for name, count in Counter(names).items():
        if count > 1 and name.strip():
            message = f"the column name {short(name)} stands {count} times in the header; rename all but one"
            yield Fault(pointer(name[:MAX_NAME_CHARACTERS]), "duplicate_name", message, "different names", f"{count} times {short(name)}")
