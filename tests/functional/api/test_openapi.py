"""The API's description: made from the code, complete, and not part of what the handler loads."""

import subprocess
import sys

from functions.api import openapi
from functions.api.app import app


def test_the_description_in_docs_is_what_the_code_says():
    assert openapi.FILE.read_text() == openapi.text(), "run `make openapi`"


def test_every_route_is_described_with_a_title():
    described = {
        (method, path.replace("{", "<").replace("}", ">")): operation
        for path, methods in openapi.description()["paths"].items()
        for method, operation in methods.items()
    }

    assert set(described) == {(route.method.lower(), route.path) for route in app._static_routes + app._dynamic_routes}
    assert len(described) == 14
    assert all(operation["summary"] for operation in described.values())


def test_only_health_and_the_public_key_are_open_to_anybody():
    paths = openapi.description()["paths"]

    assert {path for path, methods in paths.items() for told in methods.values() if told.get("security") == []} == {
        "/health",
        "/api/v1/vault/public_key",
    }


def test_the_handler_does_not_load_the_generator():
    loaded = "import sys, functions.api.app; sys.exit('functions.api.openapi' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", loaded], env=_environment(), check=False).returncode == 0


def _environment():
    import os

    root = openapi.FILE.parents[1]
    return {**os.environ, "PYTHONPATH": f"{root}:{root / 'layers/payments/python'}"}
