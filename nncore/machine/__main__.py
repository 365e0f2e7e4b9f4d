"""`python -m nncore.machine`: compiles or loads every kernel for both dtypes, and says how far it is: a JSON line each time."""

from __future__ import annotations

import json

from nncore.machine.compilation import DTYPES, warm


def main() -> None:
    """Print {"done": n, "total": m} as it goes, and {"seconds": s} at the end."""
    seconds = 0.0
    for before, dtype in enumerate(DTYPES):
        seconds += warm(dtype, progress=lambda done, total, before=before: tell(before * total + done, len(DTYPES) * total))
    print(json.dumps({"seconds": round(seconds, 3)}))


def tell(done: int, total: int) -> None:
    print(json.dumps({"done": done, "total": total}), flush=True)


if __name__ == "__main__":
    main()
