"""Outputs of a notebook's cell. Nothing of IPython is loaded unless it runs already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any


def is_notebook() -> bool:
    """Whether this is a cell of a notebook: Jupyter, VS Code, Colab. IPython in a terminal is a terminal."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def update_in_place() -> Callable[[Mapping[str, Any]], None]:
    """A function that shows a bundle, what to show by MIME type, as one output of the cell; a further call replaces it by another."""
    from IPython.display import DisplayHandle

    handle, shown = DisplayHandle(), False

    def put(bundle: Mapping[str, Any]) -> None:
        nonlocal shown
        (handle.update if shown else handle.display)(dict(bundle), raw=True)
        shown = True

    return put
