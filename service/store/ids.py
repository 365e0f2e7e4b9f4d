"""Identifiers: a prefix that says what is named, then 26 characters that sort by the time they were made."""

from __future__ import annotations

import os
import re
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
PATTERN = re.compile(rf"[a-z]+_[{ALPHABET}]{{26}}")


def new_id(prefix: str) -> str:
    """`prefix`, an underscore and a ULID in lower case: 48 bits of milliseconds, 80 random bits."""
    number = round(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return prefix + "_" + "".join(ALPHABET[number >> 5 * place & 31] for place in range(25, -1, -1))
