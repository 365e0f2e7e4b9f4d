"""Single columns of a stored dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.store import blobs
from service.store.database import Store
from service.store.models import Dataset


def values(store: Store, dataset: Dataset, name: str) -> np.ndarray[Any, Any]:
    """All rows of a column, read without the others; of a category the codes."""
    column = next(column for column in dataset.header["columns"] if column["name"] == name)
    data = b"".join(blobs.read(store, dataset.blob_id, column["offset"], column["offset"] + column["bytes"]))
    kind = "int64" if column["dtype"] == "category" else column["dtype"]
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(dataset.rows, *column["item_shape"])
