"""`python -m nncore.machine`: compiles or loads every kernel for both dtypes, and says how far it is: a JSON line each time."""

import json

from nncore.machine.compilation import DTYPES, warm


def main() -> None:
    """Print {"done": n, "total": m} as it goes, and {"seconds": s} at the end."""

    def tell(done: int, total: int) -> None:
        print(json.dumps({"done": number * total + done, "total": len(DTYPES) * total}), flush=True)

    seconds = 0.0
    for number, dtype in enumerate(DTYPES):
        seconds += warm(dtype, progress=tell)
    print(json.dumps({"seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main()
