"""`python -m nncore.machine [--usual]`: compiles kernels, if that was not done before, and says how far it is, in JSON lines.

Every kernel for both dtypes; with --usual only those of dense networks with the usual losses and optimizers, for float32.
"""

from __future__ import annotations

import json
import sys

from nncore.machine.compilation import DTYPES, compiled, usual_kernels, warm


def main() -> None:
    """Print {"done": n, "total": m} as it goes, and {"seconds": s} at the end."""
    seconds = 0.0
    if all(compiled(dtype) for dtype in DTYPES):  # whoever needs them loads them
        pass
    elif sys.argv[1:] == ["--usual"]:
        seconds = warm("float32", usual_kernels(), tell)
    else:
        for before, dtype in enumerate(DTYPES):
            seconds += warm(dtype, progress=lambda done, total, before=before: tell(before * total + done, len(DTYPES) * total))
    print(json.dumps({"seconds": round(seconds, 3)}))


def tell(done: int, total: int) -> None:
    print(json.dumps({"done": done, "total": total}), flush=True)


if __name__ == "__main__":
    main()
