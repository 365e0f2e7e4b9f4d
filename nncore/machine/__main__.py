"""`python -m nncore.machine`: compiles every kernel for both dtypes, if that was not done before, and says how far it is, in JSON lines."""

from __future__ import annotations

import json

from nncore.machine.compilation import DTYPES, compiled, warm


def main() -> None:
    """Print {"done": n, "total": m} as it goes, and {"seconds": s} at the end."""
    seconds = 0.0
    if all(compiled(dtype) for dtype in DTYPES):  # whoever needs them loads them
        print(json.dumps({"seconds": seconds}))
        return
    for before, dtype in enumerate(DTYPES):
        seconds += warm(dtype, progress=lambda done, total, before=before: tell(before * total + done, len(DTYPES) * total))
    print(json.dumps({"seconds": round(seconds, 3)}))


def tell(done: int, total: int) -> None:
    print(json.dumps({"done": done, "total": total}), flush=True)


if __name__ == "__main__":
    main()
