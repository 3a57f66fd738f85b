"""The operator's commands (`payments vault …`) on the real handlers of both regions."""

import io
import json
from math import ceil
from types import SimpleNamespace

import pytest

from functions.vault import app
from functions.vault.errors import VaultError
from local.vault import Refused, Vault
from tests.functional.vault.conftest import EAST, WEST
from tests.functional.vault.envelopes import CARD

HANDLERS = {"keys": app.key_ring, "key-check": app.key_check, "walk": app.walk, "shred": app.shred}
NUMBERS = ("4242424242424242", "5555555555554444", "6011111111111117", "30569309025904")


class Functions:
    """Lambda in one region: the real handlers, in a new container each time."""

    def __init__(self, vault, region):
        self._vault, self._region = vault, region

    def invoke(self, FunctionName, Payload):
        before = self._vault.region
        self._vault.move_to(self._region)
        try:
            answer = HANDLERS[FunctionName.removeprefix("payments-vault-")](json.loads(Payload), None)
        except VaultError as error:
            answer = {"errorMessage": str(error)}
        self._vault.move_to(before)
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


@pytest.fixture
def reports():
    return []


@pytest.fixture
def operator(vault, monkeypatch, reports):
    def sleep(seconds):
        vault.replicate()
        vault.now += ceil(seconds)

    monkeypatch.setattr("local.vault.time", SimpleNamespace(time=lambda: vault.now))
    return Vault(lambda region: Functions(vault, region), reports.append, sleep)


def cards_in_both_regions(vault):
    tokens = []
    for region, numbers in ((EAST, NUMBERS[:3]), (WEST, NUMBERS[1:])):
        vault.move_to(region)
        tokens += [vault.token(card={**CARD, "number": number}) for number in numbers]
        vault.detokenize(tokens[-1])
    vault.move_to(EAST)
    vault.synchronize()
    return tokens


def test_rotation_of_the_kek_leaves_no_card_under_the_old_one(vault, operator, reports):
    tokens = cards_in_both_regions(vault)

    operator.rotate_kek()

    assert operator.status()["ring"]["kek"] == {"version": 2, "next": None}
    assert "everything is under version 2" in reports[-1]
    assert {region: p.counts["kek_2"] for region, p in operator.census("after").items()} == {EAST: 3, WEST: 3}
    for region in (EAST, WEST):
        vault.move_to(region)
        assert all(vault.opens(token) for token in tokens)


def test_rotation_that_is_stopped_anywhere_is_finished_by_another_try(vault, operator, monkeypatch):
    tokens = cards_in_both_regions(vault)
    invoke, steps = operator._invoke, []

    def dying_invoke(function, region, event):
        answer = invoke(function, region, event)
        steps.append(function)
        if len(steps) in deaths:
            raise KeyboardInterrupt
        return answer

    deaths = set(range(1, 40, 2))
    monkeypatch.setattr(operator, "_invoke", dying_invoke)
    tries = 0
    while tries < 40:
        tries += 1
        try:
            operator.rotate_kek(to=2)
            break
        except KeyboardInterrupt:
            deaths.discard(len(steps))
            vault.replicate()

    assert 10 < tries < 40
    deaths.clear()
    vault.move_to(EAST)
    assert operator.status()["ring"]["kek"]["version"] == 2
    assert all(set(p.counts) & {"kek_1", "kek_2"} == {"kek_2"} for p in operator.census("after").values())
    assert all(vault.opens(token) for token in tokens)


def test_rotation_waits_for_the_operator_to_copy_the_key(vault, operator, monkeypatch):
    check = operator._check

    def not_there_yet(region):
        found = check(region)
        return found if region == EAST else found | {"versions": {"1": found["versions"]["1"]}}

    with monkeypatch.context() as before_copying:
        before_copying.setattr(operator, "_check", not_there_yet)
        with pytest.raises(Refused, match=r"us-west-2.*copy it there"):
            operator.rotate_kek()
    assert operator.status()["ring"]["kek"] == {"version": 1, "next": None}

    operator.rotate_kek()
    assert operator.status()["ring"]["kek"]["version"] == 2


def test_regions_with_different_keys_of_one_version_are_not_rotated(vault, operator, monkeypatch):
    check = operator._check
    monkeypatch.setattr(
        operator, "_check", lambda region: check(region) if region == EAST else {"versions": {"2": "ff" * 8}}
    )

    with pytest.raises(Refused, match="us-west-2"):
        operator.rotate_kek()


def test_shredding_a_card_is_done_in_both_regions(vault, operator):
    token = vault.token()
    vault.move_to(WEST)
    vault.token("att_2")
    vault.move_to(EAST)
    vault.synchronize()

    answers = operator.shred(token, "mer_1")

    assert {region: answer["result"] for region, answer in answers.items()} == {EAST: "shredded", WEST: "shredded"}
    for region in (EAST, WEST):
        vault.move_to(region)
        assert not vault.opens(token)


def test_shredding_a_merchant_takes_all_its_cards(vault, operator, reports):
    tokens = cards_in_both_regions(vault)
    vault.token(merchant="mer_2")

    operator.shred_merchant("mer_1", "gone")
    vault.synchronize()

    assert reports[-1].startswith(WEST)
    for region in (EAST, WEST):
        vault.move_to(region)
        assert not any(vault.opens(token) for token in tokens)
    vault.move_to(EAST)
    assert vault.opens(vault.token(merchant="mer_2"), "mer_2")


def test_refusal_is_told_in_the_vaults_words(operator):
    with pytest.raises(Refused, match=r"payments-vault-keys in us-east-1: lead_s must be 30 to"):
        operator.rotate("token", lead_s=1)


def test_rotation_that_meets_a_broken_card_says_what_to_do_and_ends_after_it(vault, operator, reports):
    tokens = cards_in_both_regions(vault)
    vault.change(vault.item(tokens[0]), ciphertext=b"x" * 300)

    with pytest.raises(Refused, match=r"payments vault repair.*--to 2"):
        operator.rotate_kek()
    operator.repair("r")
    operator.rotate_kek(to=2)

    assert "everything is under version 2" in reports[-1]
    assert not vault.opens(tokens[0])
    assert vault.token(card={**CARD, "number": NUMBERS[0]}) == tokens[0]
    assert vault.opens(tokens[0])
