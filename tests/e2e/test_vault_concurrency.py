"""Eight threads work on the same few cards in both regions, with replication behind: nothing used is lost, nothing
released lives on, and what is shredded is gone."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from functions.vault.holdings import FOREVER, RELEASE_GRACE
from local.client import new_card_number
from payments.sealing import seal_card
from tests.e2e.cloud import FIRST, SECOND, until

REGIONS = (FIRST, SECOND)
MERCHANT = "mer_concurrency"
THREADS, STEPS = 8, 45
LAG_MS = 400
KEY_NOT_HERE = "a card's key has not been replicated yet, or was destroyed"
"""What a charge by token may run into in the region that does not have the card: it is tried again."""


@dataclass
class Seen:
    """What the threads were told."""

    tokens: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    attempts: list[tuple[str, str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Vaults:
    """The deployed vault functions of both regions."""

    def __init__(self, cloud):
        self._cloud = cloud
        self._keys = {region: self.ask("public-key", region, {})["keys"][0] for region in REGIONS}

    def ask(self, function, region, event):
        answer = self._cloud.aws("lambda", region).invoke(
            FunctionName=f"payments-vault-{function}", Payload=json.dumps(event)
        )
        content = json.loads(answer["Payload"].read())
        return content | {"fault": content.get("errorMessage", "")} if "FunctionError" in answer else content

    def tokenize(self, region, attempt, card):
        event = {"payment_id": f"pay_{attempt}", "attempt": attempt, "merchant_id": MERCHANT, "card": card}
        return self.ask("tokenize", region, event)

    def sealed(self, region, number, attempt):
        card = {"number": number, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
        jwk = self._keys[region]
        return {"sealed_card": seal_card(card, jwk, MERCHANT, f"pay_{attempt}", int(time.time()))}

    def detokenize(self, region, token):
        return self.ask("detokenize", region, {"token": token, "merchant_id": MERCHANT, "payment_id": "pay_1"})

    def release(self, region, token, attempt):
        return self.ask("release", region, {"token": token, "merchant_id": MERCHANT, "attempt": attempt})

    def shred(self, region, token):
        return self.ask("shred", region, {"token": token, "merchant_id": MERCHANT})


@pytest.fixture
def lag(cli):
    cli("lag", str(LAG_MS))
    yield
    cli("dial", "--reset")


def work(vaults, thread, kept, doomed, seen):
    """One thread's steps; kept cards are never shredded, and every other one of them is never used."""
    chance, mine = random.Random(thread), []
    for step in range(STEPS):
        region, number = chance.choice(REGIONS), chance.choice(kept + doomed)
        attempt, what = f"att_{thread}x{step}", chance.randrange(100)
        token = seen.tokens.get(number)
        if what < 45 or token is None:
            answer = vaults.tokenize(region, attempt, vaults.sealed(region, number, attempt))
            token = answer.get("card", {}).get("token")
            seen.tokens.setdefault(number, token)
            mine.append((region, token, attempt))
        elif what < 60:
            answer = vaults.tokenize(region, attempt, {"token": token})
            mine.append((region, token, attempt))
        elif what < 75 and mine:
            answer = vaults.release(*mine.pop(chance.randrange(len(mine))))
        elif what < 90 and number in (kept[::2] + doomed):
            answer = vaults.detokenize(region, token)
            if answer.get("result") == "detokenized":
                seen.used.add(number)
        elif number in doomed:
            answer = vaults.shred(region, token)
        else:
            continue
        if "fault" in answer:
            seen.faults.append(answer["fault"])
    for region, token, attempt in mine:
        vaults.release(region, token, attempt)


def vault_items(cloud, region, tokens):
    found = {}
    for table in ("vault-tokens", "vault-card-keys"):
        found[table] = {
            (item["token"], item["holding"]): item for item in cloud.items(table, region) if item["token"] in tokens
        }
    return found


def at_rest(cloud, tokens):
    """Both regions' items, once they are the same."""

    def equal():
        east, west = (vault_items(cloud, region, tokens) for region in REGIONS)
        return east if east == west else None

    time.sleep(3 * LAG_MS / 1000)
    return until(equal, 30, "both regions' vaults to be the same")


def test_eight_threads_on_the_same_cards_in_both_regions(cloud, lag):
    vaults, seen = Vaults(cloud), Seen()
    kept, doomed = ([new_card_number() for _ in range(4)] for _ in range(2))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda thread: work(vaults, thread, kept, doomed, seen), range(THREADS)))

    tokens = set(seen.tokens.values())
    assert None not in tokens
    assert len(tokens) == len(seen.tokens), "one token per card, in either region"
    assert [fault for fault in seen.faults if KEY_NOT_HERE not in fault] == []
    assert len(seen.faults) < THREADS * STEPS / 20
    assert seen.used & set(kept)
    found = at_rest(cloud, tokens)
    assert_used_are_kept(vaults, seen, kept)
    assert_released_end(found, seen, kept)
    assert_keys_and_holdings_match(found)
    assert_shredded_live_when_presented_again(cloud, vaults, seen, doomed)
    assert_shredded_are_gone(cloud, vaults, seen, doomed)


def assert_used_are_kept(vaults, seen, kept):
    for number in seen.used & set(kept):
        for region in REGIONS:
            assert vaults.detokenize(region, seen.tokens[number])["result"] == "detokenized"


def assert_released_end(found, seen, kept):
    """Every attempt has let go: a holding is used for good, or ends with its grace period."""
    unused = {seen.tokens[number] for number in set(kept) & seen.tokens.keys() - seen.used}
    assert unused
    for (token, _), item in found["vault-tokens"].items():
        if item["kind"] != "card":
            assert not {"ciphertext", "last4"} & item.keys()
            continue
        if "used_at" in item:
            assert item["expires_at"] == FOREVER
            assert token not in unused
        else:
            assert not item.get("holders")
            assert item["expires_at"] == item["released_at"] + RELEASE_GRACE


def assert_keys_and_holdings_match(found):
    """What is held has its key, and there is no key that nothing needs."""
    named = {(token, item["card_key"]) for (token, _), item in found["vault-tokens"].items() if item["kind"] == "card"}
    assert named == set(found["vault-card-keys"])


def assert_shredded_live_when_presented_again(cloud, vaults, seen, doomed):
    for number in doomed:
        attempt = f"att_again{number[-6:]}"
        answer = vaults.tokenize(FIRST, attempt, vaults.sealed(FIRST, number, attempt))
        seen.tokens[number] = answer["card"]["token"]
    at_rest(cloud, set(seen.tokens.values()))
    for number in doomed:
        for region in REGIONS:
            assert vaults.detokenize(region, seen.tokens[number])["result"] == "detokenized"


def assert_shredded_are_gone(cloud, vaults, seen, doomed):
    tokens = {seen.tokens[number] for number in doomed}
    for token in tokens:
        assert vaults.shred(FIRST, token)["result"] == "shredded"
    until(lambda: not at_rest(cloud, tokens)["vault-card-keys"], 30, "the card keys of shredded cards to be gone")
    found = at_rest(cloud, tokens)
    for token in tokens:
        for region in REGIONS:
            assert vaults.detokenize(region, token) == {"result": "token_unknown"}
            assert found["vault-tokens"][token, f"{MERCHANT}#card#{region}"]["kind"] == "shredded"
