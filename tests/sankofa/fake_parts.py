"""Small real processes for the supervisor's tests; each writes its process id to a file in the folder it is given.

python -P fake_parts.py KIND FOLDER NAME
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.parent import exit_with_parent


def main(kind: str, folder: Path, name: str) -> None:
    if kind == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind != "stranger":
        exit_with_parent()
    if kind == "graceful":
        signal.signal(signal.SIGTERM, lambda *_: (print("stopping", flush=True), (folder / f"{name}.stopped").touch(), sys.exit(0)))
    if kind in ("forking", "forgetful"):
        child = subprocess.Popen(
            [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
        )
        (folder / f"{name}.grandchild").write_text(str(child.pid))
    with (folder / f"{name}.pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    print(f"{name} says hello", flush=True)
    if kind == "forgetful":
        # Ends as soon as its pipe breaks, before it has noticed that its parent is gone; what it forked stays.
        while True:
            print("still here", flush=True)
    if kind == "dying":
        sys.exit("no such luck")
    time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
