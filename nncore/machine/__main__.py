"""`python -m nncore.machine [--usual] [--backwards]`: compiles kernels, if that was not done before, and says how far it is, in JSON lines.

Every kernel for both dtypes; with --usual only those of dense networks with the usual losses and optimizers, for float32. A second process
begins at the other end, and what one has compiled the other loads: on two processors it takes half as long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from nncore.machine.compilation import DTYPES, Progress, compiled, usual_compiled, warm, warm_usual


def main() -> None:
    """Print {"done": n, "total": m} as it goes, and {"seconds": s} at the end."""
    started = time.perf_counter()
    usual, backwards = "--usual" in sys.argv, "--backwards" in sys.argv
    if usual_compiled() if usual else all(compiled(dtype) for dtype in DTYPES):  # whoever needs them loads them
        print(json.dumps({"seconds": 0.0}))
        return
    if backwards:
        walk(tell, usual=usual, backwards=True)
    else:
        from_both_ends(usual=usual)
    print(json.dumps({"seconds": round(time.perf_counter() - started, 3)}))


def walk(progress: Progress, *, usual: bool, backwards: bool) -> None:
    """Compile, or load, one after the other."""
    if usual:
        warm_usual(progress, backwards=backwards)
        return
    for before, dtype in enumerate(reversed(DTYPES) if backwards else DTYPES):
        warm(
            dtype,
            progress=lambda done, total, before=before: progress(before * total + done, len(DTYPES) * total),
            backwards=backwards,
        )


def from_both_ends(*, usual: bool) -> None:
    """Walk, and let a second process walk the other way. Where they have met, each loads what the other compiled."""
    counts, one_line = {"here": 0, "there": 0}, threading.Lock()

    def note(who: str, done: int, total: int) -> None:
        with one_line:
            counts[who] = done
            tell(min(sum(counts.values()), total), total)

    # Without a reader its next line ends it: it does not outlive this process.
    options = ["--backwards", *(["--usual"] if usual else [])]
    with subprocess.Popen([sys.executable, "-m", "nncore.machine", *options], stdout=subprocess.PIPE, text=True) as second:

        def listen() -> None:
            assert second.stdout is not None
            for line in second.stdout:
                progress = json.loads(line)
                if "done" in progress:
                    note("there", progress["done"], progress["total"])

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            walk(lambda done, total: note("here", done, total), usual=usual, backwards=False)
        finally:
            second.kill()  # what it would still load, or has failed at, was done here
            listener.join()


def tell(done: int, total: int) -> None:
    print(json.dumps({"done": done, "total": total}), flush=True)


if __name__ == "__main__":
    main()
