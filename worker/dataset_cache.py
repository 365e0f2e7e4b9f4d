"""Datasets at hand: one file per digest, filled from the store once and mapped into memory by every job that needs it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from nncore.table import Table
from service.store import blobs
from service.store.database import Store
from service.store.models import Dataset

FILLING = ".filling-"  # how the name of a file begins while it is filled
STALE_SECONDS = 3600.0  # a file that nobody has written to for so long is what a killed worker left


class DamagedDataset(Exception):
    """The stored bytes of a dataset are not those that were uploaded."""


def open_table(store: Store, folder: Path, dataset: Dataset, limit_bytes: int, progressed: Callable[[], None]) -> Table:
    """The dataset's table, its columns mapped from the cache `folder`, which is kept below `limit_bytes`.

    progressed: called for every chunk that is fetched. Raises DamagedDataset.
    """
    path = folder / dataset.digest.removeprefix("sha256:")
    try:
        os.utime(path)  # used just now: the last to be removed
    except FileNotFoundError:
        _fill(store, path, dataset, progressed)
        _make_room(folder, limit_bytes, keep=path)
    return Table.open(path, dataset.header)


def _fill(store: Store, path: Path, dataset: Dataset, progressed: Callable[[], None]) -> None:
    """Fetch the dataset into `path`; other workers see the whole file or none."""
    digest = hashlib.sha256(json.dumps(dataset.header, sort_keys=True, separators=(",", ":")).encode("ascii"))
    with NamedTemporaryFile(dir=path.parent, prefix=FILLING, delete=False) as file:
        try:
            for chunk in blobs.read(store, dataset.blob_id):
                file.write(chunk)
                digest.update(chunk)
                progressed()
            if f"sha256:{digest.hexdigest()}" != dataset.digest:
                raise DamagedDataset(f"Dataset {dataset.id} is damaged in the store: its bytes do not have the digest {dataset.digest}.")
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _make_room(folder: Path, limit_bytes: int, keep: Path) -> None:
    """Remove the files used longest ago until the rest is below `limit_bytes`. A file that is mapped lives on until it is let go."""
    files = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another worker removed it
            files.append((path, path.stat()))
    excess = sum(stat.st_size for _, stat in files) - limit_bytes
    for path, stat in sorted(files, key=lambda item: item[1].st_mtime):
        stale = time.time() - stat.st_mtime > STALE_SECONDS
        if path == keep or (path.name.startswith(FILLING) and not stale):
            continue
        if excess > 0 or path.name.startswith(FILLING):
            path.unlink(missing_ok=True)
            excess -= stat.st_size
