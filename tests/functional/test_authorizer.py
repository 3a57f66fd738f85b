"""API keys: stored as hashes only, and good for one merchant."""

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from functions.api import caller
from functions.authorizer import app
from payments import identifiers
from payments.fees import FeePlan
from payments.merchants import FraudLimits, MerchantItem, api_key_kind

ARN = "arn:aws:execute-api:us-east-1:1:api/v1/POST/api/v1/payments/charge"


def event(value):
    return {"type": "REQUEST", "methodArn": ARN, "headers": {"authorization": value} if value is not None else None}


def test_a_known_key_is_its_merchant_with_its_shard(api_key):
    answer = app.handler(event(f"Bearer {api_key}"), None)

    merchant = answer["context"]["merchant_id"]
    assert answer["context"] == {
        "merchant_id": merchant,
        "shard": str(identifiers.merchant_shard(merchant)),
        "terms": '{"basis_points":0,"fixed":{},"dispute":{}}',
        "fraud_limits": '{"block":null,"review":null}',
    }
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert answer["policyDocument"]["Statement"][0]["Resource"] == "arn:aws:execute-api:us-east-1:1:api/v1/*"


def test_the_merchants_terms_come_with_the_key(api_key):
    merchant = "mer_" + api_key.split("_")[2]
    fees = {"basis_points": 290, "fixed": {"USD": 30}, "dispute": {"USD": 1500}}
    MerchantItem(merchant, "profile", status="active", fees=fees).save()

    context = app.handler(event(f"Bearer {api_key}"), None)["context"]

    request = APIGatewayProxyEvent({"requestContext": {"authorizer": context}})
    terms = caller.merchant(request).terms
    assert terms.plan("USD") == FeePlan(290, 30, 1500)
    assert terms.plan("JPY") == FeePlan(290)


@pytest.mark.parametrize(
    ("stored", "limits"),
    [
        ({"block": 70, "review": 30}, FraudLimits(70, 30)),
        ({"review": 0}, FraudLimits(None, 0)),
        ({"block": 100}, FraudLimits(100)),
        ({"block": 49}, FraudLimits()),
        ({"block": 101}, FraudLimits()),
        ({"block": 60, "review": 61}, FraudLimits()),
        ({"review": 81}, FraudLimits()),
        ({"review": -1}, FraudLimits()),
        ({"block": "many"}, FraudLimits()),
        ({"stop": 70}, FraudLimits()),
    ],
)
def test_the_merchants_fraud_limits_come_with_the_key_and_wrong_ones_fail_no_charge(api_key, stored, limits):
    merchant = "mer_" + api_key.split("_")[2]
    MerchantItem(merchant, "profile", status="active", fraud_limits=stored).save()

    context = app.handler(event(f"Bearer {api_key}"), None)["context"]

    request = APIGatewayProxyEvent({"requestContext": {"authorizer": context}})
    assert caller.merchant(request).fraud_limits == limits


def test_only_the_keys_hash_is_stored(api_key):
    stored = str([item.to_dynamodb_dict() for item in MerchantItem.scan()])

    assert api_key not in stored
    assert api_key.split("_", 3)[3] not in stored  # the secret itself may have underscores


def test_a_revoked_key_is_refused(api_key):
    merchant = "mer_" + api_key.split("_")[2]
    MerchantItem(merchant, api_key_kind(api_key), status="revoked").save()

    with pytest.raises(Exception, match="^Unauthorized$"):
        app.handler(event(f"Bearer {api_key}"), None)


@pytest.mark.parametrize("profile", ["suspended", None])
def test_a_merchant_that_is_not_active_is_refused(api_key, profile):
    item = MerchantItem("mer_" + api_key.split("_")[2], "profile", status=profile)
    item.save() if profile else item.delete()

    with pytest.raises(Exception, match="^Unauthorized$"):
        app.handler(event(f"Bearer {api_key}"), None)


@pytest.mark.parametrize(
    "forge",
    [
        lambda key: None,
        lambda key: "",
        lambda key: "Bearer ",
        lambda key: key,
        lambda key: f"Basic {key}",
        lambda key: f"Bearer {key}x",
        lambda key: f"Bearer {key[:-1]}",
        lambda key: f"Bearer {key.upper()}",
        lambda key: "Bearer sk_test_" + "b" * 24 + "_" + key.split("_", 3)[3],
        lambda key: "Bearer sk_test__" + key.split("_", 3)[3],
        lambda key: "Bearer " + "_" * 100_000,
    ],
)
def test_any_other_key_is_refused(api_key, forge):
    with pytest.raises(Exception, match="^Unauthorized$"):
        app.handler(event(forge(api_key)), None)
