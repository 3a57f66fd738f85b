"""Sample events are filled with values of the running cloud; the demo's sums are those of an accountant."""

import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from local import deploy, invoke
from local.card_network import card_data_in
from local.client import TEST_CARD, new_card_number
from local.demo_books import sums_of
from local.invoke import InvalidEvent, Placeholders, plain
from local.settings import Settings

ENDPOINTS = {"merchant": {"id": "mer_1", "api_key": "sk_local_1_x"}}


@pytest.fixture
def placeholders(tmp_path: Path) -> Placeholders:
    return Placeholders(Settings(tmp_path), ENDPOINTS, "us-west-2")


def test_placeholders_are_replaced_wherever_they_stand(placeholders: Placeholders) -> None:
    event = {"merchant": "${merchant_id}", "headers": [{"auth": "Bearer ${api_key}"}], "rest": [1, None]}

    filled = placeholders.fill(event)

    assert filled == {"merchant": "mer_1", "headers": [{"auth": "Bearer sk_local_1_x"}], "rest": [1, None]}


def test_a_placeholder_has_one_value_in_an_event(placeholders: Placeholders) -> None:
    first, second = placeholders.fill(["${now}", "at ${now}"])

    assert second == f"at {first}"


def test_a_whole_value_keeps_its_type_and_inside_a_text_it_is_json(
    placeholders: Placeholders, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = {"payment_id": "pay_1", "card": {"token": "tok_1"}}
    monkeypatch.setattr(Placeholders, "_payment", lambda _: payment)

    assert placeholders.fill("${payment}") == payment
    assert json.loads(placeholders.fill('{"p": ${payment}}')) == {"p": payment}
    assert placeholders.fill(["${payment_id}", "${token}"]) == ["pay_1", "tok_1"]


def test_an_unknown_placeholder_is_named(placeholders: Placeholders) -> None:
    with pytest.raises(InvalidEvent, match="colour"):
        placeholders.fill("${colour}")


def test_a_sealed_card_is_the_test_card_sealed_to_the_vaults_key(
    placeholders: Placeholders, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k1"})
    answer = {"Payload": BytesIO(json.dumps({"keys": [key.as_dict(private=False)]}).encode())}
    monkeypatch.setattr(invoke, "aws", lambda *_: SimpleNamespace(invoke=lambda **_: answer))

    sealed = placeholders.fill("${sealed_card}")

    opened = jwe.decrypt_compact(sealed, key, registry=jwe.JWERegistry(strict_check_header=False))
    assert json.loads(opened.plaintext or b"") == TEST_CARD
    assert (opened.protected["merchant"], opened.protected["kid"]) == ("mer_1", "k1")


def test_attributes_become_plain_values() -> None:
    assert plain({"M": {"n": {"N": "-5"}, "l": {"L": [{"S": "x"}, {"NULL": True}]}}}) == {"n": -5, "l": ["x", None]}


def test_sums_are_signed_per_currency_and_phase() -> None:
    entries = [
        {"side": "debit", "amount": 5, "currency": "USD", "phase": "posted"},
        {"side": "credit", "amount": 4, "currency": "USD", "phase": "posted"},
        {"side": "credit", "amount": 1, "currency": "USD", "phase": "pending"},
    ]

    assert sums_of([{"entries": entries}]) == {("USD", "posted"): 1, ("USD", "pending"): -1}


def test_the_synthesized_app_depends_on_its_context_and_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cdk").mkdir()
    (tmp_path / "cdk" / "app.py").write_text("1")
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    monkeypatch.setattr(deploy, "_SOURCES", ("cdk",))
    before = deploy.fingerprint({"a": "1"})

    assert deploy.fingerprint({"a": "1"}) == before != deploy.fingerprint({"a": "2"})
    (tmp_path / "cdk" / "app.py").write_text("2")
    assert deploy.fingerprint({"a": "1"}) != before


def test_a_new_card_number_passes_luhn() -> None:
    assert all(card_data_in(new_card_number()) for _ in range(50))
