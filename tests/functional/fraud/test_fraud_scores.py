"""The score log over a real table (moto): what is kept, what it costs, and that it is in no charge's way."""

import json
import random
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from math import isnan, nan
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from functions.fraud import scores
from functions.fraud.decision import Decision, features_hash
from functions.fraud.features import FEATURES, NAMES
from functions.fraud.model import Model, Opinion, load_model
from functions.fraud.profiles import ProfileTable, dynamodb_client
from functions.fraud.rules import Lists, card_attempts
from functions.fraud.scores import Scored, ScoreLog, item, weight
from functions.fraud.scoring import score
from tests.functional.fraud.test_time_budget import peer
from tests.functional.fraud.world import (
    CHARGE,
    NOON,
    PERSONAL,
    REGIONS,
    SHIPPED,
    aws,
    client,
    items,
    make_tables,
    only,
)

WRITE_UNIT = 1024
SECRET = "a deployment's key"


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with aws(monkeypatch):
        made = client()
        make_tables(made)
        yield made


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(SHIPPED)


def lists() -> Lists:
    return Lists(rules=(card_attempts(100),))


def scored(dynamodb: Any, charge: Any, models: Any, rate: float = 1, log: Any = None, told: Any = lists) -> Decision:
    profiles = ProfileTable(dynamodb, "fraud-profiles", REGIONS[0], REGIONS, SECRET)
    return score(charge, profiles, models, told, log=log or ScoreLog(dynamodb, "fraud-scores", rate, SECRET))


class Sure:
    """A model that says always the same."""

    version = "sure"

    def __init__(self, says: int) -> None:
        self.says = says

    def score(self, row: object) -> int:
        return self.says

    def contributions(self, row: object) -> dict[str, float]:
        return {**dict.fromkeys(NAMES, 0.0), "amount_log": 1.0}

    def opinion(self, row: object) -> Opinion:
        return Opinion(self.version, self.says, self.says / 100)


def test_an_item_has_what_the_contract_says(dynamodb: Any, model: Model) -> None:
    decision = scored(dynamodb, PERSONAL, only(model, Sure(7)))

    (kept,) = items(dynamodb)
    bucket = int(sha256(b"pay_1").hexdigest()[:16], 16) % 64
    row = struct.unpack(f"<{len(NAMES)}d", zlib.decompress(kept.pop("features")["B"]))
    assert features_hash(row) == decision.features_hash
    assert row[NAMES.index("hour")] == 12
    assert isnan(row[NAMES.index("card_age_days")])
    probability = float(kept.pop("probability")["N"])
    assert probability == model.opinion(row).probability
    entities = {found["entity"]["S"] for found in items(dynamodb, "fraud-profiles")}
    keys = {kind: key["S"] for kind, key in kept.pop("keys")["M"].items()}
    assert set(keys) == {"card", "customer", "device", "ip", "email"}
    assert {*keys.values(), "merchant#mer_1"} == entities
    assert kept == {
        "day": {"S": f"2026-11-23#{bucket}"},
        "payment_id": {"S": "pay_1"},
        "at": {"N": str(NOON)},
        "merchant": {"S": "mer_1"},
        "value": {"N": "4200"},
        "currency": {"S": "USD"},
        "features_hash": {"S": decision.features_hash},
        "catalogue": {"S": sha256(",".join(NAMES).encode()).hexdigest()[:16]},
        "score": {"N": str(decision.score)},
        "model": {"S": model.version},
        "decision": {"S": decision.decision},
        "weight": {"N": "1"},
        "unusual": {"BOOL": False},
        "expires_at": {"N": str(NOON + 200 * 86_400)},
        "shadow_model": {"S": "sure"},
        "shadow_score": {"N": "7"},
        "shadow_probability": {"N": "0.07"},
    }


def test_nothing_kept_tells_who_the_customer_is(dynamodb: Any, model: Model) -> None:
    scored(dynamodb, PERSONAL, only(model))
    shown = repr(items(dynamodb))
    assert not [person for person in ("a@example.com", "203.0.113.7", "cus_1") if person in shown]


def test_what_rules_decided_is_kept_without_a_probability(dynamodb: Any, model: Model) -> None:
    decision = scored(dynamodb, CHARGE, only(model), told=lambda: Lists(rules=(card_attempts(0),)))
    (kept,) = items(dynamodb)
    assert (decision.decision, kept["model"], kept["decision"]) == ("block", {"S": "rules"}, {"S": "block"})
    assert "probability" not in kept


def test_an_amount_that_is_unusual_for_the_card_is_marked_as_such(dynamodb: Any, model: Model) -> None:
    for number in range(6):
        scored(dynamodb, replace(CHARGE, payment_id=f"pay_{number}", at=NOON + number), only(model))
    scored(dynamodb, replace(CHARGE, payment_id="pay_9", amount=42_000, at=NOON + 9), only(model))
    told = {kept["payment_id"]["S"]: kept["unusual"]["BOOL"] for kept in items(dynamodb)}
    assert [name for name, unusual in told.items() if unusual] == ["pay_9"]


def test_an_item_is_one_write_unit_even_with_its_label() -> None:
    """Every name as long as it can be, every feature there, and as little alike as they can be."""
    charge = replace(PERSONAL, payment_id="pay_00" + "d" * 24, merchant="mer_" + "a" * 24, card="tok_1" + "a" * 52)
    charge = replace(charge, device="d" * 300, ip="2001:db8:1234:5678:9abc:def0:1234:5678", amount=10**12)
    dice, sizes = random.Random(1), []
    for _ in range(300):
        row = [_hostile(dice, feature.type) for feature in FEATURES]
        shadow = Opinion("lightgbm-0dc367ae5ed4", 100, dice.random() / 3)
        decision = Decision(100, "review", (), "lightgbm-0dc367ae5ed4", False, "0" * 16, shadow=shadow)
        kept = item(Scored(charge, row, decision, dice.random() / 3, True), 33.333333333, b"")
        kept |= {"label": {"S": "fraud"}, "label_source": {"S": "dispute"}, "labelled_at": {"N": str(NOON)}}
        sizes.append(size(kept))
    assert max(sizes) < WRITE_UNIT
    assert max(sizes) > WRITE_UNIT * 0.8, "else this test is not hostile"


def _hostile(dice: random.Random, kind: str) -> float:
    if kind in ("count", "flag", "clock"):
        return float(dice.randrange({"count": 5000, "flag": 2, "clock": 24}[kind]))
    if kind == "days":
        return dice.randrange(90 * 86_400) / 86_400
    return dice.uniform(0, 20) if dice.random() < 0.9 else nan


def size(kept: dict[str, Any]) -> int:
    """Bytes as DynamoDB counts them (its documentation, "Item sizes and formats"); a number at its longest."""
    return sum(len(name.encode()) + _size(value) for name, value in kept.items())


def _size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content.strip("0.").replace(".", "")) // 2 + 2
        case "B":
            return len(content)
        case "M":
            return 3 + size(content) + len(content)
    return 1


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_a_sample_stands_for_all_and_risky_charges_for_themselves(rate: float) -> None:
    calm, risky = Decision(49, "allow", (), "m", False), Decision(50, "allow", (), "m", False)
    weights = [weight(f"pay_{number}", calm, rate) for number in range(20_000)]
    kept = [found for found in weights if found is not None]
    assert set(kept) == {1 / rate}
    assert abs(sum(kept) - 20_000) < 2000
    assert {weight(f"pay_{number}", risky, rate) for number in range(500)} == {1.0}


def test_the_sample_is_spread_over_all_partitions() -> None:
    calm = Decision(0, "allow", (), "m", False)
    chosen = [f"pay_{number}" for number in range(40_000) if weight(f"pay_{number}", calm, 0.05)]
    assert len({scores.partition(payment, NOON) for payment in chosen}) == 64


@pytest.mark.parametrize(("says", "kept"), [(49, False), (50, True)])
def test_a_degraded_answer_is_kept_only_where_it_was_risky(dynamodb: Any, says: int, kept: bool) -> None:
    decision = scored(dynamodb, CHARGE, only(Sure(says)), told=lambda: Lists(complete=False))
    assert decision.degraded
    assert bool(items(dynamodb)) is kept


def test_without_a_row_of_features_there_is_no_item(dynamodb: Any, model: Model) -> None:
    dynamodb.delete_table(TableName="fraud-profiles")
    scored(dynamodb, CHARGE, only(model))
    assert items(dynamodb) == []


def test_at_rate_0_only_what_is_risky_is_kept(dynamodb: Any) -> None:
    for payment, says in (("pay_1", 10), ("pay_2", 90)):
        scored(dynamodb, replace(CHARGE, payment_id=payment), only(Sure(says)), rate=0)
    assert [kept["payment_id"]["S"] for kept in items(dynamodb)] == ["pay_2"]


def test_a_payment_scored_again_keeps_its_first_row_and_its_label(dynamodb: Any, model: Model) -> None:
    """The second scoring sees the charge itself in the profiles: what a model would learn from that is not so."""
    scored(dynamodb, CHARGE, only(model))
    (first,) = items(dynamodb)
    dynamodb.update_item(
        TableName="fraud-scores",
        Key={name: first[name] for name in ("day", "payment_id")},
        UpdateExpression="SET label = :fraud",
        ExpressionAttributeValues={":fraud": {"S": "fraud"}},
    )
    again = scored(dynamodb, CHARGE, only(model))
    assert again.features_hash != first["features_hash"]["S"]
    assert items(dynamodb) == [{**first, "label": {"S": "fraud"}}]


class Broken:
    """A client whose put_item fails."""

    def __init__(self, real: Any, fault: Exception) -> None:
        self.exceptions, self._fault = real.exceptions, fault

    def put_item(self, **_: object) -> None:
        raise self._fault


@pytest.mark.parametrize("fault", [ReadTimeoutError(endpoint_url="dynamodb"), UnicodeError("a@example.com"), None])
def test_a_table_that_is_away_changes_nothing_but_the_log(
    dynamodb: Any, model: Model, fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(scores.logger, "warning", lambda message, extra: told.append({"message": message, **extra}))
    expected = scored(dynamodb, replace(CHARGE, card="tok_2", customer="cus_2", device="dev_2"), only(model))
    assert not told

    away = ScoreLog(dynamodb, "nowhere", 1, "") if fault is None else ScoreLog(Broken(dynamodb, fault), "t", 1, "")
    decision = scored(dynamodb, PERSONAL, only(model), log=away)

    assert (decision.decision, decision.degraded) == (expected.decision, False)
    assert [(line["message"], line["payment_id"]) for line in told] == [("score not kept", "pay_1")]
    assert "a@example.com" not in json.dumps(told)
    counted = {found["entity"]["S"] for found in items(dynamodb, "fraud-profiles")}
    assert "card#tok_1" in counted, "the charge is counted all the same"


def test_a_table_that_hangs_is_waited_for_no_longer_than_profiles_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try: connecting and reading may each take half of the budget."""
    told: list[str] = []
    monkeypatch.setattr(scores.logger, "warning", lambda message, extra: told.append(message))
    with peer() as (url, table):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        dynamodb_client.cache_clear()
        log = ScoreLog(dynamodb_client(REGIONS[0], 80), "fraud-scores", 1, "")
        began = time.monotonic()
        log.keep(CHARGE, [nan] * len(NAMES), Decision(90, "block", (), "m", False, "0" * 16), None, False)()
        waited = time.monotonic() - began
    dynamodb_client.cache_clear()
    assert told == ["score not kept"]
    assert len(table.requests) == 1
    assert waited < 1


def test_both_regions_keep_their_own(dynamodb: Any, model: Model) -> None:
    """The table is regional: a charge is kept where it was scored, under the same key in either."""
    west = client(region=REGIONS[1])
    make_tables(west)
    scored(dynamodb, CHARGE, only(model))
    scored(dynamodb, replace(CHARGE, payment_id="pay_2"), only(model), log=ScoreLog(west, "fraud-scores", 1, SECRET))
    east_item, west_item = items(dynamodb), items(west)
    assert [[kept["payment_id"]["S"] for kept in found] for found in (east_item, west_item)] == [["pay_1"], ["pay_2"]]
    assert east_item[0]["keys"] == west_item[0]["keys"]
