"""Plays API Gateway in process: a WSGI application that makes proxy events of HTTP requests.

Routes are those of the API's description; the authorizer is the real one. API Gateway's own answers are as
cdk/stacks/api.py shapes them.
"""

import json
import re
from http import HTTPStatus
from urllib.parse import parse_qs

from functions.api import openapi
from functions.authorizer import app as authorizer

STAGE_ARN = "arn:aws:execute-api:us-east-1:123456789012:api/v1"


class Gateway:
    """A WSGI application; `handler` answers its events."""

    def __init__(self, handler, context):
        self.handler, self.context = handler, context
        self.document = openapi.description()

    def __call__(self, environ, start_response):
        status, headers, body = self._answer(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body.encode()]

    def _answer(self, environ):
        method, path = environ["REQUEST_METHOD"], _text(environ["PATH_INFO"])
        resource, parameters = self._resource(path)
        operation = self.document["paths"].get(resource, {}).get(method.lower())
        if operation is None:
            return _own(404, _error("invalid_request_error", "route_not_found"))
        event = _event(environ, method, path, resource, parameters)
        if operation.get("security") != []:
            try:
                asked = {"headers": event["headers"], "methodArn": f"{STAGE_ARN}/{method}{path}"}
                event["requestContext"]["authorizer"] = authorizer.handler(asked, None)["context"]
            except Exception as refused:  # its contract with API Gateway
                if str(refused) != "Unauthorized":
                    raise
                return _own(401, _error("authentication_error", "unauthorized"))
        answer = self.handler(event, self.context)
        headers = [(name, value) for name, values in answer["multiValueHeaders"].items() for value in values]
        return answer["statusCode"], headers, answer["body"]

    def _resource(self, path):
        """The resource of a path and its parameters; a resource without parameters goes before one with."""
        for template in sorted(self.document["paths"]):
            found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template), path)
            if found:
                return template, found.groupdict()
        return None, {}


def _event(environ, method, path, resource, parameters):
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    headers = _headers(environ)
    body = environ["wsgi.input"].read().decode("utf-8", "replace")
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": body or None,
        "requestContext": {"requestId": "request-1", "stage": "v1", "httpMethod": method, "path": path, "identity": {}},
    }


def _headers(environ):
    named = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        named["CONTENT_TYPE"] = environ["CONTENT_TYPE"]
    return {name.replace("_", "-").title(): _text(value) for name, value in named.items()}


def _text(wire):
    """WSGI hands bytes over as Latin-1 (PEP 3333)."""
    return wire.encode("latin-1", "replace").decode("utf-8", "replace")


def _own(status, body):
    return status, [("Content-Type", "application/json")], json.dumps(body)


def _error(kind, code):
    return {"error": {"type": kind, "code": code, "message": "A sentence.", "request_id": "request-1"}}
