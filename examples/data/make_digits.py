"""Writes digits.csv.gz beside this file: the UCI handwritten digits, from the copy that scikit-learn carries.

    python examples/data/make_digits.py        (needs scikit-learn: pip install -e '.[oracles]')

The same rows give the same bytes: no time and no file name are in the gzip header. (Another version of zlib may pack them otherwise.)
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

from sklearn.datasets import load_digits

FILE = Path(__file__).with_name("digits.csv.gz")


def digits_csv() -> bytes:
    """A header and 1,797 rows: pixel_0 ... pixel_63 (0 white to 16 black, row by row of 8 x 8), label (0 to 9)."""
    digits = load_digits()
    names = [f"pixel_{index}" for index in range(64)] + ["label"]
    rows = (",".join(str(int(cell)) for cell in [*pixels, label]) for pixels, label in zip(digits.data, digits.target, strict=True))
    return "\n".join([",".join(names), *rows, ""]).encode("ascii")


def packed(text: bytes) -> bytes:
    """`text` as a gzip file without time and name."""
    file = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as archive:
        archive.write(text)
    return file.getvalue()


if __name__ == "__main__":
    FILE.write_bytes(packed(digits_csv()))
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")
