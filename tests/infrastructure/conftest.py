"""The app, synthesized once per session and environment."""

import json

import pytest

from tests.infrastructure.synthesis import Synthesized, synthesize

PRODUCTION_ACCOUNT = "123456789012"
"""Its availability zones are in cdk.json, so that no test asks AWS."""

KEY_STORE = "pkcs11:token=hsm1;object=payments-kek?module-path=/opt/cloudhsm/lib/libcloudhsm_pkcs11.so"
CLIENT_LAYER = "arn:aws:lambda:us-west-2:123456789012:layer:cloudhsm-client:3"
COUNTRY_LAYERS = {
    region: f"arn:aws:lambda:{region}:{PRODUCTION_ACCOUNT}:layer:countries:7" for region in ("us-east-1", "us-west-2")
}
DOMAIN, HOSTED_ZONE = "api.example.com", "Z0123456789EXAMPLE"
RESTORED_GROUP = "sg-0123456789abcdef0"


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """What an operator deploys, with a client for CloudHSM as a folder in one region and as a layer in the other."""
    client = tmp_path_factory.mktemp("cloudhsm-client")
    (client / "cloudhsm/lib").mkdir(parents=True)
    (client / "cloudhsm/lib/libcloudhsm_pkcs11.so").touch()
    return synthesize(
        tmp_path_factory.mktemp("production"),
        checked=True,
        environment="production",
        account=PRODUCTION_ACCOUNT,
        card_network_url="https://network.example.com",
        key_store=KEY_STORE,
        cloudhsm_client=json.dumps({"us-east-1": str(client), "us-west-2": CLIENT_LAYER}),
        cloudhsm_restored_group=RESTORED_GROUP,
        country_layers=json.dumps(COUNTRY_LAYERS),
        alarm_email="oncall@example.com",
        domain=DOMAIN,
        hosted_zone_id=HOSTED_ZONE,
        default_endpoint="false",
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
        links=json.dumps({"us-east-1": "http://127.0.0.1:4568", "us-west-2": "http://127.0.0.1:4569"}),
    )


@pytest.fixture(params=["production", "local"])
def deployment(request: pytest.FixtureRequest) -> Synthesized:
    """Either environment: what is asserted of this one holds in both."""
    return request.getfixturevalue(request.param)
