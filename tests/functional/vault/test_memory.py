"""A card number is not kept longer than the call: no object holds it afterwards, and no exception's frames do."""

import gc
import random

import pytest

from functions.vault import app, keeping
from functions.vault import vault as operations
from functions.vault.errors import VaultError
from functions.vault.safe import Safe
from tests.functional.vault.envelopes import CARD


def sealed(vault, seed):
    """A sealed card whose number nothing in this test holds; `number` makes it again."""
    return vault.sealed({**CARD, "number": number(seed)}, nonce=f"n-{seed}")


def number(seed):
    body = "400000" + f"{random.Random(seed).randrange(10**9):09d}"
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(body))]
    return body + str(-sum(value - 9 * (value > 9) for value in doubled) % 10)


def keepers(seed):
    """Every object that refers to a text with the number in it."""
    gc.collect()
    pan, found = number(seed), []
    for candidate in gc.get_objects():
        for referent in gc.get_referents(candidate):
            text = referent if isinstance(referent, str) else None
            if isinstance(referent, bytes | bytearray):
                text = bytes(referent).decode("latin-1")
            if text is not None and pan in text and referent is not pan:
                found.append(f"{type(candidate).__name__}: {str(candidate)[:200]}")
    return found


def test_the_hunt_finds_what_is_kept():
    kept = [f"xx{number('kept')}xx"]

    assert keepers("kept")
    del kept
    assert keepers("kept") == []


def test_nothing_holds_the_number_after_the_calls(vault):
    token = vault.submit({"sealed_card": sealed(vault, "a")})["card"]["token"]
    assert vault.opens(token)
    vault.charge_token(token)
    vault.release(token)
    vault.submit({"sealed_card": sealed(vault, "a")}, "att_2", payment="pay_2")  # the envelope serves another payment
    vault.walk("census", "c")

    assert keepers("a") == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [(operations, "read_card"), (keeping, "token_of"), (Safe, "lock"), (app.vault.Keeping, "hold_card")],
)
def test_no_frame_of_a_fault_holds_the_number(vault, monkeypatch, owner, name):
    envelope = sealed(vault, "b")
    original = getattr(owner, name)

    def explode(*arguments, **named):
        try:
            raise KeyError(str(arguments))
        except KeyError:
            raise ValueError(original, arguments)  # noqa: B904 - as libraries do: with the number in cause and context

    monkeypatch.setattr(owner, name, explode)
    with pytest.raises(VaultError) as fault:
        vault.submit({"sealed_card": envelope})

    assert fault.value.__context__ is None
    assert keepers("b") == []


def test_no_frame_of_the_vaults_own_fault_holds_the_number(vault, monkeypatch):
    envelope = sealed(vault, "c")

    def contended(*arguments):
        raise VaultError("somewhere below the number")

    monkeypatch.setattr(Safe, "lock", contended)
    with pytest.raises(VaultError) as fault:
        vault.submit({"sealed_card": envelope})

    assert str(fault.value) == "somewhere below the number"
    assert keepers("c") == []
