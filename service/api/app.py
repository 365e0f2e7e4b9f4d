"""The Flask app: every resource, and what all requests go through."""

from __future__ import annotations

from importlib.metadata import version

from flask import Flask

from service import queue
from service.api import (
    access_log,
    assessment,
    audit,
    authentication,
    cards,
    compare,
    cross_validations,
    data_report,
    datasets,
    docs,
    events,
    explain,
    health,
    history,
    job_changes,
    keys,
    metrics,
    minimize,
    model_aliases,
    model_versions,
    models,
    networks,
    predict,
    predictions,
    preflight,
    problems,
    quotas,
    resumable,
    retention,
    snapshots,
    split,
    tenants,
    usage,
    webhook_deliveries,  # and with it `webhooks`: one resource
    weights,
)
from service.api.context import NAME, Context
from service.api.openapi import Api
from service.api.predictors import Predictors
from service.api.streams import Streams
from service.queue import Waker
from service.settings import Settings
from service.store.database import Store
from service.store.errors import QuotaExceeded

RESOURCES = (
    datasets,
    resumable,
    data_report,
    job_changes,  # and with it `jobs`: one resource
    preflight,
    compare,
    cross_validations,
    events,
    history,
    metrics,
    snapshots,
    split,
    assessment,
    weights,
    predict,
    predictions,
    models,
    model_versions,
    model_aliases,
    explain,
    cards,
    networks,
    minimize,
    usage,
    keys,
    tenants,
    audit,
    retention,
    webhook_deliveries,
    health,
)
MAX_FORM_FIELD_BYTES = 256 << 10  # well above the 64 KiB that werkzeug reads at once: it counts what it has read of a file, too
MAX_FORM_PARTS = 16


def create_app(settings: Settings) -> Flask:
    """The API of the installation that `settings` names. To be made after a fork: it opens the database."""
    app = Api(version("sankofa"))
    app.config["MAX_CONTENT_LENGTH"] = settings.max_json_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_FIELD_BYTES
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    store = Store(settings.database)
    waker = Waker(queue.make_app(settings), settings.wake_expiry_seconds)
    identities = authentication.Identities(store)
    app.extensions[NAME] = Context(settings, store, waker, Streams(settings), Predictors(), identities)
    problems.install(app)
    app.register_error_handler(QuotaExceeded, quotas.refused)
    for module in RESOURCES:
        app.register_api(module.resource)
    app.register_blueprint(docs.resource)
    access_log.install(app)
    authentication.install(app, store, identities)
    docs.install(app, app.api_doc)
    return app
