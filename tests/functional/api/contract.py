"""Whether an answer is one that the API's description knows."""

import re

import msgspec

from functions.api import openapi
from functions.api.resources import Error


def check(method, path, status, body):
    """Fails when the route's description has another answer of this status, or none."""
    operation = _operation(method, path)
    if operation is None:
        assert (status, body["error"]["code"]) == (404, "unknown_path")
    elif status in operation.answers:
        kind = operation.answers[status]
        msgspec.convert(body, kind)
        tag = {kind.__struct_config__.tag_field} - {None}
        assert set(body) == {*kind.__struct_fields__, *tag}
    else:
        msgspec.convert(body, Error)
        assert body["error"]["code"] in dict(openapi._errors(operation))[status]


def _operation(method, path):
    for known, template, operation, _ in openapi._routes():
        if known == method.lower() and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return operation
    return None
