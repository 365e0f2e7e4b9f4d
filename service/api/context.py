"""What the views share: one object an app, found by `context()`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from service.api.authentication import Identities
from service.api.predictors import Predictors
from service.api.streams import Streams
from service.queue import Waker
from service.settings import Settings
from service.store.database import Store

NAME = "sankofa"


@dataclass(frozen=True)
class Context:
    """The parts of the running service that requests need."""

    settings: Settings
    store: Store
    waker: Waker
    streams: Streams
    predictors: Predictors
    identities: Identities


def context() -> Context:
    """The current app's."""
    return cast(Context, current_app.extensions[NAME])
