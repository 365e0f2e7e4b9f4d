"""`python -m worker.health`: exit code 0 while a worker of this host (in a container: of this container) is heard of, else 1.

It asks the database, so it says more than "there is a process": the worker runs, beats, and reaches the store.
"""

from __future__ import annotations

import sys

from service.settings import Settings
from service.store import workers
from service.store.database import Store
from service.store.errors import StoreError


def main() -> int:
    """Look once. Returns the exit code and says on stderr why it is not 0."""
    settings = Settings.from_environment()
    store = Store(settings.database)
    try:
        heard = workers.heard_of(store, settings.heartbeat_seconds)
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        store.close()
    if not heard:
        print("no worker of this host was heard of within three heartbeats", file=sys.stderr)
    return 0 if heard else 1


if __name__ == "__main__":
    sys.exit(main())
