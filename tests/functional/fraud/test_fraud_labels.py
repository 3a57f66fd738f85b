"""Labels from the stream of payments (moto): every transition, replays, both orders, crashes, and both regions.

Records are of payments that the platform's own layer made and encoded.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.fraud import app
from functions.fraud.charge import Charge, entities
from functions.fraud.features import NAMES, row
from functions.fraud.history import merged
from functions.fraud.labels import Label, Labels, charge_of, label_of
from functions.fraud.model import load_model
from functions.fraud.profiles import ProfilesUnavailable, ProfileTable
from functions.fraud.rules import Lists
from functions.fraud.scores import ScoreLog
from functions.fraud.scoring import score
from payments import records
from payments.lifecycle import Dispute, Operation, Payment, ReviewDecision, Status
from payments.tables import PaymentItem
from tests.functional.fraud.world import (
    NOON,
    PERSONAL,
    REGIONS,
    ROOT,
    SHIPPED,
    aws,
    client,
    items,
    make_tables,
    only,
)
from tests.functional.samples import CARD_FACTS

HOUR = 3600
KEY = "a deployment's key"


def time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


PAYMENT = Payment(
    payment_id=PERSONAL.payment_id,
    merchant_id=PERSONAL.merchant,
    shard=1,
    fingerprint="f" * 64,
    attempt="att_1",
    region=REGIONS[0],
    status=Status.SUCCEEDED,
    amount=PERSONAL.amount,
    currency=PERSONAL.currency,
    capture=True,
    network_ref="net_1",
    card={**CARD_FACTS, "token": PERSONAL.card},
    fraud={"score": 70, "decision": "review", "reasons": ["card_new"], "model": "m", "degraded": False},
    created_at=time(NOON),
    updated_at=time(NOON + 5),
    sequence=2,
    amount_captured=PERSONAL.amount,
    customer_id=PERSONAL.customer,
    outstanding=(Operation("ref_1", "refund", 5),),
    metadata={"order": "1"},
)


def disputed(status: str, at: int, of: Payment = PAYMENT) -> Payment:
    dispute = Dispute("dsp_1", 4200, status, "fraudulent")
    return replace(of, dispute=dispute, status=Status.DISPUTED, updated_at=time(at), sequence=of.sequence + 1)


def reviewed(decision: str, at: int, of: Payment = PAYMENT) -> Payment:
    return replace(of, review_decision=ReviewDecision(decision, "arn:aws:iam::1:user/a", time(at), "why"))


def image(payment: Payment) -> dict[str, Any]:
    """The payment's item, as it is stored and streamed."""
    return PaymentItem(**records.payment_record(payment)).serialize()


def record(payment: Payment, number: int = 1) -> dict[str, Any]:
    change = {"Keys": {"payment_id": {"S": payment.payment_id}}, "SequenceNumber": str(number)}
    return {"eventName": "MODIFY", "dynamodb": {**change, "NewImage": image(payment)}}


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with aws(monkeypatch):
        made = client()
        make_tables(made)
        yield made


def labeller(dynamodb: Any, region: str = REGIONS[0]) -> Labels:
    profiles = ProfileTable(dynamodb, "fraud-profiles", region, REGIONS, digest_key=None)
    return Labels(dynamodb, "fraud-scores", profiles, KEY)


MODEL = load_model(SHIPPED)


def scored(dynamodb: Any, charge: Charge = PERSONAL, rate: float = 1, region: str = REGIONS[0]) -> None:
    profiles = ProfileTable(dynamodb, "fraud-profiles", region, REGIONS, KEY)
    score(charge, profiles, only(MODEL), Lists, log=ScoreLog(dynamodb, "fraud-scores", rate, KEY))


def kept(dynamodb: Any) -> dict[str, Any]:
    (found,) = [found for found in items(dynamodb) if "features" in found]
    return found


def said(dynamodb: Any) -> tuple[str, str, int] | None:
    found = kept(dynamodb)
    if "label" not in found:
        return None
    return found["label"]["S"], found["label_source"]["S"], int(found["labelled_at"]["N"])


def frauds(dynamodb: Any) -> dict[str, int]:
    """Confirmed frauds by kind of entity, as scoring reads them."""
    return {
        found["entity"]["S"].partition("#")[0]: int(found["frauds"]["N"])
        for found in items(dynamodb, "fraud-profiles")
        if "frauds" in found
    }


ALL = dict.fromkeys(("card", "merchant", "customer", "device", "ip", "email"), 1)
DECLINED, APPROVED = reviewed("decline", NOON + HOUR), reviewed("approve", NOON + HOUR)
OPEN, WON, LOST = (disputed(status, NOON + 2 * HOUR) for status in ("open", "won", "lost"))


def test_the_layers_payment_is_read_as_the_charge_that_it_was() -> None:
    sent = {"email": None, "ip": None, "ip_country": None, "billing_country": None, "bin": None, "device": None}
    assert charge_of(image(PAYMENT)) == replace(PERSONAL, **sent)
    assert charge_of(image(replace(PAYMENT, customer_id=None))).customer is None


@pytest.mark.parametrize(
    ("payment", "expected"),
    [
        (PAYMENT, None),
        (DECLINED, Label("fraud", "review", NOON + HOUR)),
        (APPROVED, Label("good", "review", NOON + HOUR)),
        (OPEN, Label("fraud", "dispute", NOON + 2 * HOUR)),
        (LOST, Label("fraud", "dispute", NOON + 2 * HOUR)),
        (WON, Label("good", "dispute", NOON + 2 * HOUR)),
        (disputed("open", NOON + 2 * HOUR, APPROVED), Label("fraud", "dispute", NOON + 2 * HOUR)),
        (disputed("won", NOON + 2 * HOUR, DECLINED), Label("good", "dispute", NOON + 2 * HOUR)),
        (replace(OPEN, dispute=Dispute("dsp_1", 4200, "open")), Label("fraud", "dispute", NOON + 2 * HOUR)),
    ],
)
def test_what_a_payment_says(payment: Payment, expected: Label | None) -> None:
    assert label_of(image(payment)) == expected


@pytest.mark.parametrize(
    ("story", "label", "counted"),
    [
        ([PAYMENT], None, {}),
        ([APPROVED], ("good", "review", NOON + HOUR), {}),
        ([DECLINED], ("fraud", "review", NOON + HOUR), ALL),
        ([OPEN], ("fraud", "dispute", NOON + 2 * HOUR), ALL),
        ([OPEN, LOST], ("fraud", "dispute", NOON + 2 * HOUR), ALL),
        ([OPEN, disputed("won", NOON + 9 * HOUR)], ("good", "dispute", NOON + 9 * HOUR), ALL),
        ([DECLINED, disputed("open", NOON + 3 * HOUR, DECLINED)], ("fraud", "dispute", NOON + 3 * HOUR), ALL),
        ([APPROVED, disputed("open", NOON + 3 * HOUR, APPROVED)], ("fraud", "dispute", NOON + 3 * HOUR), ALL),
        ([OPEN, reviewed("approve", NOON + 3 * HOUR, OPEN)], ("fraud", "dispute", NOON + 2 * HOUR), ALL),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_story_ends_with_its_last_word_however_often_it_is_told(
    dynamodb: Any, story: list[Payment], label: Any, counted: dict[str, int], times: int
) -> None:
    """The third telling is of another process, and of records one by one or all again."""
    scored(dynamodb)
    for _ in range(times):
        for payment in story:
            labeller(dynamodb).follow(record(payment))
        for payment in story[-1:] * (times - 1):
            labeller(dynamodb).follow(record(payment))
    assert (said(dynamodb), frauds(dynamodb)) == (label, counted)


def test_a_record_that_comes_late_takes_nothing_back(dynamodb: Any) -> None:
    """An operator replays an old record by hand, after the dispute was won."""
    scored(dynamodb)
    won = disputed("won", NOON + 9 * HOUR)
    for payment in (won, DECLINED, OPEN):
        labeller(dynamodb).follow(record(payment))
    assert said(dynamodb) == ("good", "dispute", NOON + 9 * HOUR)
    assert frauds(dynamodb) == ALL, "it was fraud once"


def test_what_is_said_again_months_later_is_counted_once(dynamodb: Any) -> None:
    """The profiles' own memory lasts two days; a lost dispute, or a second one, comes long after."""
    scored(dynamodb)
    months = 100 * 24 * HOUR
    for payment in (
        OPEN,
        disputed("won", NOON + months),
        disputed("open", NOON + 2 * months),
        disputed("lost", NOON + 2 * months),
    ):
        labeller(dynamodb).follow(record(payment))
    assert (said(dynamodb), frauds(dynamodb)) == (("fraud", "dispute", NOON + 2 * months), ALL)


def test_a_charge_that_was_not_kept_is_known_by_what_the_payment_names(dynamodb: Any) -> None:
    scored(dynamodb, rate=0)
    for _ in range(2):
        labeller(dynamodb).follow(record(OPEN))
    assert frauds(dynamodb) == dict.fromkeys(("card", "merchant", "customer"), 1)
    assert not [found for found in items(dynamodb) if "label" in found], "there is nothing to be labelled"
    assert len(items(dynamodb, "fraud-profiles")) == 6, "each with the entity that scoring had counted"


def test_features_of_the_next_charge_see_the_fraud(dynamodb: Any) -> None:
    scored(dynamodb)
    labeller(dynamodb).follow(record(OPEN))
    later = replace(PERSONAL, payment_id="pay_2", at=NOON + 24 * HOUR)
    profiles = ProfileTable(dynamodb, "fraud-profiles", REGIONS[0], REGIONS, KEY)
    found, keys = profiles.read(entities(later).values()), entities(later)
    seen = dict(zip(NAMES, row(later, {kind: merged(found[key].values()) for kind, key in keys.items()}), strict=True))
    kinds = ("card", "customer", "device", "ip", "email")
    assert [seen[f"{kind}_frauds"] for kind in kinds] == [1, 1, 1, 1, 1]
    assert (seen["card_new"], seen["merchant_quiet_frauds_7d"]) == (1, 1)


class Killed(BaseException):
    """The function's process ends."""


@pytest.mark.parametrize("call", ["get_item", "batch_get_item", "put_item", "update_item"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_and_told_again_it_counts_once(dynamodb: Any, call: str, after: bool) -> None:
    """At the first, second, third … call of each kind, before it or after it took effect."""
    for number in range(8):
        charge = replace(PERSONAL, payment_id=f"pay_k{number}", card=f"tok_{number}", customer=f"cus_{number}")
        payment = replace(OPEN, payment_id=charge.payment_id, customer_id=charge.customer,
                          card={**CARD_FACTS, "token": charge.card})  # fmt: skip
        scored(dynamodb, charge)
        dying = Dying(dynamodb, call, number, after)
        try:
            labeller(dying).follow(record(payment))
        except Killed:
            labeller(dynamodb).follow(record(payment))
        found = {found["payment_id"]["S"]: found for found in items(dynamodb) if "features" in found}
        assert found[charge.payment_id]["label"] == {"S": "fraud"}
        own = {found["entity"]["S"]: found for found in items(dynamodb, "fraud-profiles")}
        assert own[f"card#{charge.card}"]["frauds"] == {"N": "1"}


class Dying:
    """A client whose process is killed at one of its calls."""

    def __init__(self, real: Any, call: str, number: int, after: bool) -> None:
        self._real, self._call, self._left, self._after = real, call, number, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return found if name != self._call else lambda **arguments: self._counted(found, arguments)

    def _counted(self, call: Any, arguments: dict[str, Any]) -> Any:
        self._left -= 1
        if self._left == -1:
            if self._after:
                call(**arguments)
            raise Killed
        return call(**arguments)


def test_each_region_labels_what_it_scored_and_writes_its_own_profiles(dynamodb: Any) -> None:
    """Both regions' streams show both payments; profiles are one table, replicated, scores are two."""
    west_payment = replace(OPEN, payment_id="pay_west", region=REGIONS[1])
    scored(dynamodb)
    scored(dynamodb, replace(PERSONAL, payment_id="pay_west"), region=REGIONS[1])
    for region in REGIONS:
        for payment in (OPEN, west_payment):
            labeller(dynamodb, region).follow(record(payment))
    by_region = {
        found["region"]["S"]: found["frauds"]["N"]
        for found in items(dynamodb, "fraud-profiles")
        if found["entity"]["S"] == "card#tok_1"
    }
    assert by_region == dict.fromkeys(REGIONS, "1")
    assert [found["label"]["S"] for found in items(dynamodb) if "features" in found] == ["fraud"] * 2


@pytest.mark.parametrize(
    "other",
    [
        {"payment_id": {"S": "cmd_1"}, "region": {"S": REGIONS[0]}, "answer": {"M": {"dispute": {"S": "x"}}}},
        {"payment_id": {"S": "pay_1#att_1"}, "region": {"S": REGIONS[0]}, "status": {"S": "abandoned"}},
        {},
    ],
)
def test_what_is_no_labelled_payment_is_passed_over(dynamodb: Any, other: dict[str, Any]) -> None:
    labeller(dynamodb).follow({"eventName": "INSERT", "dynamodb": {"NewImage": other}})
    labeller(dynamodb).follow({"eventName": "REMOVE", "dynamodb": {"OldImage": image(OPEN)}})
    assert items(dynamodb) == items(dynamodb, "fraud-profiles") == []


@pytest.fixture
def deployed(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "FRAUD_PROFILES_TABLE": "fraud-profiles",
        "FRAUD_SCORES_TABLE": "fraud-scores",
        "REGIONS": json.dumps(dict.fromkeys(REGIONS, "")),
        "PROFILE_DIGEST_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)
    app._labels.cache_clear()
    app.dynamodb_client.cache_clear()
    yield dynamodb
    app._labels.cache_clear()
    app.dynamodb_client.cache_clear()


def test_a_batch_ends_with_the_record_that_fails_and_what_went_before_is_done(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(app.logger, "error", lambda message, extra: told.append(extra))
    scored(deployed)
    poison = record(replace(OPEN, payment_id="pay_2"), 2)
    del poison["dynamodb"]["NewImage"]["card"]
    batch = [record(OPEN, 1), poison, record(replace(OPEN, payment_id="pay_3"), 3)]
    assert app.label({"Records": batch}, None) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert [found["keys"] for found in told] == [{"payment_id": {"S": "pay_2"}}]
    assert (said(deployed), frauds(deployed)["merchant"]) == (("fraud", "dispute", NOON + 2 * HOUR), 1)
    assert app.label({"Records": batch[2:]}, None) == {"batchItemFailures": []}
    assert frauds(deployed)["merchant"] == 2


def test_more_labels_of_a_merchant_in_a_day_than_its_memory_holds_are_counted_once_each(deployed: Any) -> None:
    """A profile remembers six labels of a day; what repeats the others is told by the marks beside the scores."""
    batch = [record(replace(OPEN, payment_id=f"pay_{number}"), number) for number in range(20)]
    for _ in range(3):
        assert app.label({"Records": batch}, None) == {"batchItemFailures": []}
    assert frauds(deployed)["merchant"] == 20


def test_the_sample_event_says_what_a_reviewer_said(deployed: Any) -> None:
    event = json.loads((ROOT / "events" / "fraud_labels.json").read_text())
    assert app.label(event, None) == {"batchItemFailures": []}
    (one,) = event["Records"]
    assert label_of(one["dynamodb"]["NewImage"]) == Label("good", "review", NOON - HOUR)


def test_profiles_that_are_away_fail_the_record_and_write_no_label(dynamodb: Any) -> None:
    scored(dynamodb)
    dynamodb.delete_table(TableName="fraud-profiles")
    with pytest.raises(ProfilesUnavailable):
        labeller(dynamodb).follow(record(OPEN))
    assert said(dynamodb) is None
