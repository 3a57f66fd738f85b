"""The client of the operators' API: pages, keys, signatures, and errors as sentences."""

import json

import httpx
import pytest
from botocore.credentials import Credentials

from local.ledger import Refused
from local.operations import LOCAL, Operations

BASE = "http://operations.test/live/"


class Api:
    """Answers what it is told, in turn, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, request):
        self.asked.append(request)
        status, body = self.answers.pop(0)
        return httpx.Response(status, json=body)


def client(api, credentials=LOCAL):
    made = Operations(BASE, "us-east-1", credentials)
    made._http = httpx.Client(transport=httpx.MockTransport(api))
    return made


def page(*data, cursor=None):
    return 200, {"data": list(data), "has_more": cursor is not None, "next_cursor": cursor}


def test_all_pages_are_read_with_the_filters_that_are_given():
    api = Api(page({"id": "a"}, cursor="place 1"), page({"id": "b"}))

    found = list(client(api).discrepancies(network="visa", currency=None, **{"class": "orphan"}))

    assert [one["id"] for one in found] == ["a", "b"]
    assert [dict(request.url.params) for request in api.asked] == [
        {"network": "visa", "class": "orphan", "limit": "100"},
        {"network": "visa", "class": "orphan", "limit": "100", "starting_after": "place 1"},
    ]
    assert api.asked[0].url.path == "/live/operations/v1/discrepancies"


def test_a_command_is_sent_under_its_key():
    api = Api((200, {}))

    client(api).command("net_1/capture=23", "resolve", {"action": "accept", "reason": "agreed"}, "mine")

    assert api.asked[0].headers["Idempotency-Key"] == "mine"
    assert api.asked[0].url.path.endswith("/discrepancies/net_1/capture=23/resolve")
    assert json.loads(api.asked[0].content) == {"action": "accept", "reason": "agreed"}


def test_reviews_are_read_page_by_page_and_decided_under_a_key():
    api = Api(page({"id": "pay_1"}, cursor="pay_1"), page({"id": "pay_2"}), (200, {"id": "pay_1"}), (200, {}))
    operations = client(api)

    found = list(operations.reviews(min_score=70, degraded="true", merchant=None))
    shown = operations.review("pay_1")
    operations.decide("pay_1", "decline", "a fraud", "mine")

    assert [one["id"] for one in found] == ["pay_1", "pay_2"]
    assert dict(api.asked[1].url.params) == {
        "min_score": "70",
        "degraded": "true",
        "limit": "100",
        "starting_after": "pay_1",
    }
    assert shown["id"] == "pay_1"
    assert [request.url.path.partition("/reviews")[2] for request in api.asked] == ["", "", "/pay_1", "/pay_1/decline"]
    assert api.asked[3].headers["Idempotency-Key"] == "mine"
    assert json.loads(api.asked[3].content) == {"reason": "a fraud"}


def test_a_refusal_is_a_sentence():
    error = {"error": {"code": "discrepancy_closed", "message": "This is no open discrepancy any more."}}

    with pytest.raises(Refused, match=r"409 discrepancy_closed: This is no open discrepancy any more\."):
        client(Api((409, error))).command("a/b", "resolve", {}, "1")


def test_what_is_no_json_is_told_too():
    with pytest.raises(Refused, match="502"):
        client(lambda _: httpx.Response(502, text="Bad gateway")).discrepancy("a/b")


def test_in_aws_requests_are_signed_for_the_gateway():
    api = Api((200, {}), page())
    signing = client(api, Credentials("AKIA", "secret", "session"))

    signing.command("a/b", "assign", {"assignee": "alice"}, "1")
    list(signing.discrepancies(merchant="mer_1"))

    for request in api.asked:
        assert "/us-east-1/execute-api/aws4_request" in request.headers["Authorization"]
        assert request.headers["X-Amz-Security-Token"] == "session"


def test_the_local_clouds_gateway_wants_a_signature_too():
    api = Api((200, {}))
    client(api).discrepancy("a/b")

    assert "Credential=test/" in api.asked[0].headers["Authorization"]
