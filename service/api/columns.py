"""Single columns of a stored dataset."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from nncore.table import Column, Table
from service.store import blobs
from service.store.database import Store
from service.store.models import Dataset


def column(store: Store, dataset: Dataset, name: str) -> Column:
    """A column with all its rows, read without the others."""
    categories = _described(dataset, name).get("categories")
    return Column(name, values(store, dataset, name), None if categories is None else tuple(categories))


def values(store: Store, dataset: Dataset, name: str) -> np.ndarray[Any, Any]:
    """All rows of a column, read without the others; of a category the codes."""
    column = _described(dataset, name)
    data = b"".join(blobs.read(store, dataset.blob_id, column["offset"], column["offset"] + column["bytes"]))
    kind = "int64" if column["dtype"] == "category" else column["dtype"]
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(dataset.rows, *column["item_shape"])


def first_rows(store: Store, dataset: Dataset, names: Collection[str], rows: int) -> Table:
    """A table of the first rows of these columns, read without the others."""
    columns = []
    for column in dataset.header["columns"]:
        if column["name"] in names:
            each = column["bytes"] // dataset.rows
            data = b"".join(blobs.read(store, dataset.blob_id, column["offset"], column["offset"] + rows * each))
            kind = "int64" if column["dtype"] == "category" else column["dtype"]
            array = np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(rows, *column["item_shape"])
            categories = column.get("categories")
            columns.append(Column(column["name"], array, None if categories is None else tuple(categories)))
    return Table(columns)


def _described(dataset: Dataset, name: str) -> dict[str, Any]:
    return next(column for column in dataset.header["columns"] if column["name"] == name)
