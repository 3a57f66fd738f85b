"""Derived ids are the same wherever they are computed, and carry their shard."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import identifiers

text = st.text(max_size=40)


@given(text, text)
def test_a_payment_id_is_well_formed_and_routes_to_its_merchants_shard(merchant, key):
    derived = identifiers.payment_id(merchant, key)

    assert identifiers.is_identifier(derived, "pay")
    assert identifiers.shard_of(derived) == identifiers.merchant_shard(merchant)
    assert identifiers.shard_of(identifiers.network_reference(derived)) == identifiers.merchant_shard(merchant)
    assert identifiers.shard_of(identifiers.event_id(derived, "payment.succeeded")) == identifiers.shard_of(derived)


@given(st.lists(st.tuples(text, text), min_size=2, max_size=2, unique=True))
def test_different_merchants_or_keys_give_different_payments(pairs):
    without_separator = [pair for pair in pairs if "\0" not in "".join(pair)]
    ids = {identifiers.payment_id(*pair) for pair in without_separator}

    assert len(ids) == len(without_separator)


def test_another_process_derives_the_same_id():
    code = "from payments.identifiers import payment_id; print(payment_id('mer_a', 'key-1'))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "layers/payments/python", "PYTHONHASHSEED": "7"},
    )

    assert other.stdout.strip() == identifiers.payment_id("mer_a", "key-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay_",
        "pay_zz" + "a" * 24,
        "pay_ff" + "a" * 24,
        "pay_0a" + "A" * 24,
        "net_0a" + "a" * 24,
        "pay_0a" + "a" * 25,
        "4242424242424242",
    ],
)
def test_what_is_not_an_id_is_refused(text):
    assert not identifiers.is_identifier(text, "pay")


@given(text, text)
def test_what_belongs_to_a_payment_or_merchant_is_in_its_shard(merchant, key):
    command = identifiers.command_id(merchant, key)
    ids = [command, *(identifiers.operation_id(prefix, command) for prefix in ("cap", "vod", "ref", "dsp"))]
    ids += [identifiers.transfer_id(prefix, merchant, key) for prefix in ("out", "fee", "adj")]
    ids.append(identifiers.event_id(identifiers.payment_id(merchant, key), "refund.succeeded", ids[3]))

    assert {identifiers.shard_of(found) for found in ids} == {identifiers.merchant_shard(merchant)}
    assert all(identifiers.is_identifier(found, found[:3]) for found in ids)
    assert len(set(ids)) == len(ids)


def test_a_key_that_names_a_payment_may_name_a_command_and_a_transfer_too():
    named = (
        identifiers.payment_id("mer_a", "k"),
        identifiers.command_id("mer_a", "k"),
        identifiers.transfer_id("out", "mer_a", "k"),
    )

    assert len({found[4:] for found in named}) == 3


def test_events_of_two_operations_of_a_payment_are_two_events():
    payment = identifiers.payment_id("mer_a", "k")
    ids = [identifiers.event_id(payment, "refund.succeeded", operation) for operation in ("ref_1", "ref_2", "")]

    assert len(set(ids)) == 3


@pytest.mark.parametrize("text", ["", "pay", "pay_ff" + "a" * 24, "mer_" + "a" * 24, "pay_0a" + "a" * 24 + "#mended#3"])
def test_what_is_no_derived_id_has_no_shard(text):
    with pytest.raises(ValueError, match="not an identifier"):
        identifiers.shard_of(text)


def test_attempts_differ():
    assert identifiers.new_attempt() != identifiers.new_attempt()
