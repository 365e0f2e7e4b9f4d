"""The OpenAPI document: how views describe their answers, bodies and headers, and what is made of it all.

Schemas come from the models, texts from the docstrings, security from the scopes that views need.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, TypeVar, cast

import orjson
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.models.tag import Tag
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from werkzeug.routing import BaseConverter, Rule

from nncore.spec import faults_of
from service.api import authentication, problems
from service.api.bodies import Request
from service.api.rate_limits import FIELDS

REFERENCE = "#/components/schemas/{model}"
KEY_SCHEME = "api_key"
DESCRIPTION = """Train neural networks on demand: POST a dataset and a network, follow the job, fetch trained weights.

Every request but those marked otherwise carries an API key, `Authorization: Bearer KEY`. Errors are problem documents (RFC 9457) with
a `code` for programs; a 422 names every fault at once. Times are ISO 8601 in UTC. Lists come in pages: send `next_cursor` back as
`cursor` until it is null. What is created by a POST with an `Idempotency-Key` is created once, however often it is sent. Where a key or
its tenant is limited, every answer says in `RateLimit` and `RateLimit-Policy` how many requests are left. What is no HTTP, or has more
than 100 headers, the server below refuses by itself: 400 or 431, with an empty body."""

View = TypeVar("View", bound=Callable[..., object])

_models: dict[str, type[BaseModel]] = {"Problem": problems.Problem}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """A reference to the model's schema."""
    _models[model.__name__] = model
    return {"$ref": REFERENCE.format(model=model.__name__)}


def json_answer(model: type[BaseModel], description: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A response that is JSON of this model. headers: what each of the answer's headers says."""
    return answer({"application/json": {"schema": reference(model)}}, description, headers=headers)


def answer(content: Mapping[str, Any], description: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A response with these media types."""
    described = {name: {"description": text, "schema": {"type": "string"}} for name, text in (headers or {}).items()}
    return {"description": description, "content": dict(content), **({"headers": described} if described else {})}


def refusals(**descriptions: str) -> dict[Any, Any]:
    """Problem documents that a view may answer with: `refusals(_404="There is no such job.")`."""
    return {int(status.strip("_")): _problem(text) for status, text in descriptions.items()}


def json_body(model: type[BaseModel], examples: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """A JSON body. examples: name -> (what it shows, the body)."""
    shown = {name: {"summary": summary, "value": value} for name, (summary, value) in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": reference(model), "examples": shown}}}


def header_parameter(name: str, description: str, schema: Mapping[str, Any] | None = None, *, required: bool = False) -> dict[str, Any]:
    """A request header that a view reads, for `reads_headers`."""
    return {"name": name, "in": "header", "required": required, "description": description, "schema": dict(schema or {"type": "string"})}


def reads_headers(*parameters: dict[str, Any]) -> Callable[[View], View]:
    """Marks a view with the request headers that it reads."""

    def mark(view: View) -> View:
        view.header_parameters = parameters  # type: ignore[attr-defined]
        return view

    return mark


def blueprint(name: str, description: str, url_prefix: str) -> APIBlueprint:
    """The views of one resource."""
    tag = Tag(name=name.capitalize(), description=description)
    return APIBlueprint(name, __name__, url_prefix=url_prefix, abp_tags=[tag], operation_id_callback=_operation_id)


NO_IDS = {"job_id": ("actions", "compare", "preflight")}  # words that are routes where an id may stand


class Route(Rule):
    """A rule whose ids are no words that are routes of their own: what such a route does not know is 405 there, and no unknown id."""

    def get_converter(self, variable_name: str, converter_name: str, args: Any, kwargs: Any) -> BaseConverter:
        converter = super().get_converter(variable_name, converter_name, args, kwargs)
        if words := NO_IDS.get(variable_name):
            converter.regex = f"(?!(?:{'|'.join(words)})$){converter.regex}"
        return converter


class Api(OpenAPI):
    """A Flask app that describes itself."""

    request_class = Request
    url_rule_class = Route

    def __init__(self, version: str) -> None:
        super().__init__(
            "service.api",
            info=Info(title="Sankofa", version=version, description=DESCRIPTION),
            security_schemes={
                KEY_SCHEME: {"type": "http", "scheme": "bearer", "description": "The file `key` in the data folder holds the first one."}
            },
            operation_id_callback=_operation_id,
            validation_error_model=problems.Problem,
            validation_error_callback=_refuse_body,
            doc_ui=False,
            static_folder=None,
        )
        self.openapi_version = "3.1.0"

    def generate_spec_json(self) -> None:
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        document = self.spec_json
        views = {view.__name__: (endpoint, view) for endpoint, view in self.view_functions.items()}
        for path in document["paths"].values():
            for operation in path.values():
                _finish(operation, *views[operation["operationId"]], self)
        _, schemas = models_json_schema([(model, "validation") for model in _models.values()], ref_template=REFERENCE)
        document["components"]["schemas"] = dict(sorted(schemas["$defs"].items()))
        for schema in schemas["$defs"].values():
            _tell_defaults(schema)
        for name, shown in _shown().items():
            if name in schemas["$defs"]:
                schemas["$defs"][name]["examples"] = [shown]


def _finish(operation: dict[str, Any], endpoint: str, view: Any, app: OpenAPI) -> None:
    summary, _, text = (inspect.getdoc(view) or "").partition("\n")
    operation["summary"] = summary.rstrip(".")
    operation["description"] = text.strip() or summary
    for parameter in operation.get("parameters", []):
        _tidy(parameter)
    if getattr(view, "header_parameters", ()):
        operation.setdefault("parameters", []).extend(view.header_parameters)
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):  # flask-openapi's own idea of it
        del responses["422"]
    if operation.get("parameters") or "requestBody" in operation:
        responses.setdefault("422", _problem("Something in the request is wrong; `errors` names every fault."))
    scope = authentication.scope_of(app, endpoint)
    operation["security"] = [] if scope == authentication.PUBLIC else [{KEY_SCHEME: [scope]}]
    if scope != authentication.PUBLIC:
        responses["401"] = _problem("No API key was sent, or one that is not known.")
        quota = "" if scope == "read" else ", or this would exceed a quota that time does not give back (`quota_exceeded`)"
        responses["403"] = _problem(f"The key lacks the scope `{scope}`{quota}.")
        responses["429"] = _limited()
        responses["503"] = _problem("The service is busy or its database out of reach; try again after `Retry-After` seconds.")
    responses["500"] = _problem("An error of the server's own; its log has the details under `request_id`.")
    operation["responses"] = dict(sorted(responses.items()))


def _tell_defaults(schema: dict[str, Any]) -> None:
    """Write defaults that are objects into the descriptions: makers of clients leave a field out that has one, and what holds it."""
    for field in schema.get("properties", {}).values():
        if isinstance(field.get("default"), dict):
            told = f"Default: {orjson.dumps(field.pop('default')).decode()}."
            field["description"] = f"{field['description']} {told}" if "description" in field else told


def _shown() -> dict[str, Any]:
    """Answers of a real service, by the names of their schemas."""
    return cast(dict[str, Any], orjson.loads(files("service.api").joinpath("shown.json").read_bytes()))


def _tidy(parameter: dict[str, Any]) -> None:
    """A parameter of the path or the query cannot be null: it is left out."""
    schema = parameter["schema"]
    schema.pop("title", None)
    schema.pop("description", None)
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        schema.update(kinds[0])


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {problems.MEDIA_TYPE: {"schema": reference(problems.Problem)}}}


def _limited() -> dict[str, Any]:
    text = "Too many requests (`rate_limited`), or a quota is used up that is free again later (`quota_exceeded`)."
    fields = {"Retry-After": "Seconds after which to send it again, where that is known.", **FIELDS}
    return answer(_problem("")["content"], text, headers=fields)


def _operation_id(*, name: str, **_: Any) -> str:
    return name


def _refuse_body(error: ValidationError) -> None:
    raise problems.invalid(faults_of(error)) from None
