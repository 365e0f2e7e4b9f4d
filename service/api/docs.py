"""/openapi.json and /docs: what there is, for programs and for people. The page needs nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Flask, Response, current_app, redirect, send_from_directory
from werkzeug.wrappers import Response as ResponseBase

from service.api.answers import answer, encode, etag, is_known, not_modified
from service.api.authentication import PUBLIC, needs

resource = Blueprint("docs", __name__)

FILES = str(files("flask_openapi_swagger") / "templates" / "swagger")
POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sankofa API</title>
<link rel="icon" href="docs/images/swagger.svg">
<link rel="stylesheet" href="docs/css/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/js/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null, persistAuthorization: true,
});
"""


@resource.get("/")
@needs(PUBLIC)
def show_start() -> ResponseBase:
    """The way to the page."""
    return redirect("/docs")


@resource.get("/openapi.json")
@needs(PUBLIC)
def get_openapi() -> Response:
    """The OpenAPI document."""
    body = current_app.extensions[__name__]
    tag = etag(body)
    return not_modified(tag) if is_known(tag) else answer(body, ETag=tag)


@resource.get("/docs")
@needs(PUBLIC)
def show_docs() -> Response:
    """A page that shows the OpenAPI document."""
    return Response(PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})


@resource.get("/docs/start.js")
@needs(PUBLIC)
def start_docs() -> Response:
    """What starts the page."""
    return Response(START, content_type="text/javascript; charset=utf-8")


@resource.get("/docs/<path:name>")
@needs(PUBLIC)
def get_docs_file(name: str) -> Response:
    """A file of the page."""
    return send_from_directory(FILES, name, max_age=3600)


def install(app: Flask, document: dict[str, object]) -> None:
    """Have `app` serve this document."""
    app.extensions[__name__] = encode(document)
