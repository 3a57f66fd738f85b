"""Writes docs/openapi.json, the OpenAPI 3.1 description of the API, from its routes: `python -m functions.api.openapi`.

The handler does not import this. A route without a description is an error here.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from functions.api.app import app
from functions.api.operations import OPERATIONS, Operation
from functions.api.requests import ChargeRequest, TokenRequest
from functions.api.resources import Error

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_NULL = {"type": "null"}
_JSON = "application/json"
_BAD_GATEWAY = "5XX"

# What API Gateway answers before the function runs, and what any route answers when something of ours breaks.
_ANYWHERE = {400: ("bad_request",), 429: ("rate_limited",), 503: ("internal_error",)}
_WITH_KEY = {401: ("unauthorized",)}
_WITH_BODY = {413: ("request_too_large",)}
_WITH_PATH = {404: ("unknown_path",)}

_CARD_CHOICES = {ChargeRequest: ("card", "sealed_card", "token"), TokenRequest: ("card", "sealed_card")}


def description() -> Json:
    """The whole document."""
    routes = list(_routes())
    kinds = {kind for _, _, operation, _ in routes for kind in (operation.body, *operation.answers.values()) if kind}
    _, schemas = msgspec.json.schema_components(
        sorted(kinds | {Error}, key=lambda kind: kind.__name__), ref_template=_REFERENCE
    )
    for kind, choices in _CARD_CHOICES.items():
        schemas[kind.__name__]["oneOf"] = [_given(name) for name in choices]
    paths: Json = {}
    for method, path, operation, documentation in routes:
        paths.setdefault(path, {})[method] = _operation(operation, documentation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Payments",
            "version": "1",
            "description": "The merchants' API. docs/api.md is the guide; this is generated from the code.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer", "description": "An API key, `sk_…`."}},
        },
        "security": [{"api_key": []}],
    }


def text() -> str:
    """The document as the file holds it."""
    return json.dumps(description(), indent=2, ensure_ascii=False) + "\n"


def _routes() -> Iterator[tuple[str, str, Operation, str]]:
    """Method, path, operation and docstring of every route of the API."""
    for route in (*app._static_routes, *app._dynamic_routes):
        path = re.sub(r"<(\w+)>", r"{\1}", route.path)
        yield route.method.lower(), path, OPERATIONS[route.func], inspect.getdoc(route.func) or ""


def _operation(operation: Operation, documentation: str) -> Json:
    summary, _, rest = documentation.partition("\n")
    described: Json = {"summary": summary.rstrip("."), "description": " ".join(rest.split())}
    if operation.public:
        described["security"] = []
    parameters = [
        *_parameters(operation.path, "path"),
        *_parameters(operation.headers, "header"),
        *_query_parameters(operation.query),
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {_JSON: {"schema": _schema(operation.body)}},
        }
    described["responses"] = {
        **{str(status): _success(kind, status, operation) for status, kind in operation.answers.items()},
        **{
            str(status): _failure(codes, status)
            for status, codes in _errors(operation)
            if status not in operation.answers
        },
        _BAD_GATEWAY: {"description": "A fault on our side; the same request may be sent again.", **_content(Error)},
    }
    return {name: value for name, value in described.items() if value != ""}


def _errors(operation: Operation) -> list[tuple[int, tuple[str, ...]]]:
    """Codes by status: the operation's own, and those that its kind of operation can meet."""
    kinds = (
        (True, _ANYWHERE),
        (not operation.public, _WITH_KEY),
        (operation.body, _WITH_BODY),
        (operation.path, _WITH_PATH),
    )
    found: dict[int, tuple[str, ...]] = {}
    for errors in (operation.errors, *(errors for applies, errors in kinds if applies)):
        for status, codes in errors.items():
            found[status] = found.get(status, ()) + codes
    return sorted(found.items())


def _success(kind: Any, status: int, operation: Operation) -> Json:
    described = {"description": HTTPStatus(status).phrase, **_content(kind)}
    if operation.answer_headers:
        described["headers"] = {
            name: {"description": sentence, "schema": {"type": "string"}}
            for name, sentence in operation.answer_headers.items()
        }
    return described


def _failure(codes: tuple[str, ...], status: int) -> Json:
    """An error's answer: `Error`, and the codes it may have here."""
    schema = {**_schema(Error), "properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    described: Json = {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {_JSON: {"schema": schema}},
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE or "payment_busy" in codes:
        described["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return described


def _parameters(types: Mapping[str, Any], place: str) -> list[Json]:
    described = []
    for name, kind in types.items():
        schema = _schema(kind)
        sentence = schema.pop("description", None)
        described.append({"name": name, "in": place, "required": True, "schema": schema})
        if sentence:
            described[-1]["description"] = sentence
    return described


def _query_parameters(query: type[msgspec.Struct] | None) -> list[Json]:
    """The fields of a query, none of which is required."""
    if query is None:
        return []
    _, schemas = msgspec.json.schema_components([query], ref_template=_REFERENCE)
    described = []
    for name, schema in schemas[query.__name__]["properties"].items():
        given = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
        for choice in schema.get("anyOf", ()):
            given |= choice if choice != _NULL else {}
        sentence = given.pop("description", None)
        described.append({"name": name, "in": "query", "required": False, "schema": given})
        if sentence:
            described[-1]["description"] = sentence
    return described


def _content(kind: Any) -> Json:
    return {"content": {_JSON: {"schema": _schema(kind)}}}


def _schema(kind: Any) -> Json:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    return dict(schema)


def _given(name: str) -> Json:
    """The field is there and not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


if __name__ == "__main__":
    FILE.write_text(text())
