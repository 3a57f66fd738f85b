"""The app, synthesized once per session and environment."""

import json

import pytest

from tests.infrastructure.synthesis import Synthesized, synthesize

PRODUCTION_ACCOUNT = "123456789012"
"""Its availability zones are in cdk.json, so that no test asks AWS."""


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """What an operator deploys."""
    return synthesize(
        tmp_path_factory.mktemp("production"),
        checked=True,
        environment="production",
        account=PRODUCTION_ACCOUNT,
        card_network_url="https://network.example.com",
        key_store="cloudhsm:cluster-example",
        alarm_email="oncall@example.com",
    )


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """What the local cloud deploys."""
    return synthesize(
        tmp_path_factory.mktemp("local"),
        checked=False,
        environment="local",
        key_store="file:/var/empty/keys",
        peers=json.dumps({"us-east-1": "http://127.0.0.1:4566", "us-west-2": "http://127.0.0.1:4567"}),
    )


@pytest.fixture(params=["production", "local"])
def deployment(request: pytest.FixtureRequest) -> Synthesized:
    """Either environment: what is asserted of this one holds in both."""
    return request.getfixturevalue(request.param)
