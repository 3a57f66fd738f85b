"""The fraud function over a real table (moto): counting, regions, concurrency, and what happens when parts are away."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from functions.fraud import app
from functions.fraud.charge import Charge, entities
from functions.fraud.features import NAMES, NOTHING, remember, remember_fraud, row
from functions.fraud.history import HOUR, HOURS, MINUTES, RINGS, History, merged, window
from functions.fraud.model import Model, load_model
from functions.fraud.models import Panel
from functions.fraud.profiles import ProfilesUnavailable, ProfileTable, stored_key
from functions.fraud.rules import Lists, card_attempts
from functions.fraud.scoring import score
from models.fraud.dataset import Memory, rows
from models.fraud.generate import Scale, generate

ROOT = Path(__file__).parents[3]
REGIONS = ("us-east-1", "us-west-2")
NOON = 1_795_435_200  # 23 November 2026, 12:00 UTC
CHARGE = Charge("pay_1", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")
PERSONAL = replace(CHARGE, email="a@example.com", ip="203.0.113.7", ip_country="US", billing_country="US", bin="424242")


def no_lists() -> Lists:
    """Lists and rules where nobody has made any."""
    return Lists(rules=(card_attempts(100),))


def only(model: Any) -> Any:
    """Whatever the pointers say, this model and none in shadow."""
    return lambda _: Panel(model)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGIONS[0]}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        made = botocore.session.get_session().create_client("dynamodb", region_name=REGIONS[0])
        made.create_table(
            TableName="fraud-profiles",
            KeySchema=[
                {"AttributeName": "entity", "KeyType": "HASH"},
                {"AttributeName": "region", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "entity", "AttributeType": "S"},
                {"AttributeName": "region", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        made.create_table(
            TableName="fraud-rules",
            KeySchema=[
                {"AttributeName": "scope", "KeyType": "HASH"},
                {"AttributeName": "entry", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "scope", "AttributeType": "S"},
                {"AttributeName": "entry", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        made.create_table(
            TableName="fraud-scores",
            KeySchema=[
                {"AttributeName": "day", "KeyType": "HASH"},
                {"AttributeName": "payment_id", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "day", "AttributeType": "S"},
                {"AttributeName": "payment_id", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        # DynamoDB applies one update atomically; moto, called from threads, does not. Calls still interleave.
        one_at_a_time, update_item = Lock(), made.update_item

        def atomic_update_item(**arguments: Any) -> Any:
            with one_at_a_time:
                return update_item(**arguments)

        monkeypatch.setattr(made, "update_item", atomic_update_item)
        yield made


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(ROOT / "models" / "fraud")


def table(client: Any, region: str = REGIONS[0], name: str = "fraud-profiles") -> ProfileTable:
    # One client for both: a global table, fully replicated.
    return ProfileTable(client, name, region, REGIONS)


def known(client: Any, key: str) -> History:
    return merged(table(client).read([key])[key].values())


def test_a_charge_is_counted_for_all_that_it_tells_about(client: Any, model: Model) -> None:
    score(PERSONAL, table(client), only(model), no_lists)
    assert set(entities(PERSONAL)) == {"card", "merchant", "customer", "device", "ip", "email"}
    for kind, key in entities(PERSONAL).items():
        history = known(client, key)
        assert (history.numbers["charges"], history.numbers["spent"], history.numbers["peak"]) == (1, 4200, 4200)
        assert window(history, RINGS[kind][-1], NOON, 1) == (1, 4200)
    item = client.get_item(
        TableName="fraud-profiles", Key={"entity": {"S": "card#tok_1"}, "region": {"S": REGIONS[0]}}
    )["Item"]
    assert int(item["expires_at"]["N"]) > NOON


def test_only_what_the_merchant_sent_is_written(client: Any, model: Model) -> None:
    score(replace(CHARGE, customer=None, device=None), table(client), only(model), no_lists)
    items = client.scan(TableName="fraud-profiles")["Items"]
    assert sorted(item["entity"]["S"] for item in items) == ["card#tok_1", "merchant#mer_1"]


def test_addresses_count_strangers_only(client: Any, model: Model) -> None:
    """A known customer with a known card costs no write for the IP and e-mail address; a new card of the same does."""
    charges = [PERSONAL, replace(PERSONAL, payment_id="pay_2"), replace(PERSONAL, payment_id="pay_3", card="tok_2")]
    counts = []
    for charge in charges:
        score(charge, table(client), only(model), no_lists)
        counts.append([known(client, entities(PERSONAL)[kind]).numbers["charges"] for kind in ("ip", "email")])
    assert counts == [[1, 1], [1, 1], [2, 2]]


def test_nothing_in_the_table_tells_who_the_customer_is(client: Any, model: Model) -> None:
    people = ("a@example.com", "203.0.113.7", "cus_1")
    for region in REGIONS:
        score(replace(PERSONAL, payment_id=f"pay_{region}"), table(client, region), only(model), no_lists)
    items = client.scan(TableName="fraud-profiles")["Items"]
    assert len(items) == 6 + 4  # the second charge is no stranger's
    assert not [person for person in people if person in json.dumps(items)]
    assert "a@example.com" not in repr(PERSONAL)
    assert "203.0.113.7" not in repr(PERSONAL)


def test_the_key_decides_the_digest_so_that_addresses_cannot_be_enumerated() -> None:
    keys = entities(PERSONAL)
    one, other = ({kind: stored_key(key, secret) for kind, key in keys.items()} for secret in (b"one", b"other"))
    assert {kind for kind in keys if one[kind] != other[kind]} == {"customer", "ip", "email"}
    assert all(len(key.encode()) <= 72 for key in one.values())


def test_both_regions_count_together_and_write_apart(client: Any, model: Model) -> None:
    score(CHARGE, table(client, REGIONS[0]), only(model), no_lists)
    score(replace(CHARGE, payment_id="pay_2", amount=100), table(client, REGIONS[1]), only(model), no_lists)
    assert known(client, "card#tok_1").numbers["spent"] == 4300
    items = client.scan(TableName="fraud-profiles")["Items"]
    assert sorted({item["region"]["S"] for item in items}) == list(REGIONS)
    assert all(item["charges"] == {"N": "1"} for item in items)


@pytest.mark.parametrize("second_region", REGIONS)
def test_a_payment_scored_again_counts_once(client: Any, model: Model, second_region: str) -> None:
    score(CHARGE, table(client), only(model), no_lists)
    score(replace(CHARGE, at=NOON + 500), table(client, second_region), only(model), no_lists)
    assert known(client, "card#tok_1").numbers["charges"] == 1


def test_the_same_payment_scored_concurrently_counts_once(client: Any) -> None:
    """Ten attempts that all read an empty profile: the condition on the write decides."""
    profiles = table(client)
    keys = entities(CHARGE)
    nothing = dict.fromkeys(keys, NOTHING)
    changes = {keys[kind]: change for kind, change in remember(CHARGE, nothing, nothing, False).items()}
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: profiles.write(changes), range(10)))
    for key in changes:
        assert known(client, key).numbers["charges"] == 1


def test_concurrent_charges_are_all_counted(client: Any, model: Model) -> None:
    profiles = table(client)
    charges = [replace(CHARGE, payment_id=f"pay_{i}", amount=100 + i) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda charge: profiles.write(_changes(profiles, charge)), charges))
    for key in entities(CHARGE).values():
        history = known(client, key)
        assert history.numbers["charges"] == 40
        assert history.numbers["spent"] == sum(charge.amount for charge in charges)
    assert window(known(client, "card#tok_1"), MINUTES, NOON, 6) == (40, history.numbers["spent"])


def _changes(profiles: ProfileTable, charge: Charge) -> dict[str, Any]:
    keys = entities(charge)
    read = profiles.read(keys.values())
    own = {kind: read[key].get(profiles.region, NOTHING) for kind, key in keys.items()}
    together = {kind: merged(read[key].values()) for kind, key in keys.items()}
    return {keys[kind]: change for kind, change in remember(charge, own, together, False).items()}


def test_concurrent_charges_after_a_quiet_day_are_all_counted(client: Any, model: Model) -> None:
    """All of them see and drop the same expired buckets."""
    score(CHARGE, table(client), only(model), no_lists)
    profiles, later = table(client), NOON + 48 * HOUR
    charges = [replace(CHARGE, payment_id=f"pay_b{i}", at=later) for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda charge: profiles.write(_changes(profiles, charge)), charges))
    history = known(client, "card#tok_1")
    assert window(history, HOURS, later, 24)[0] == 20
    assert f"h{NOON // HOUR}" not in history.numbers
    assert history.numbers["charges"] == 21


class Served:
    """The serving path over the table: two regions in turn, as scoring reads and writes it."""

    def __init__(self, client: Any, regions: tuple[str, ...]) -> None:
        self._tables = [table(client, region) for region in regions]
        self._turn = 0

    def _read(self, charge: Charge) -> tuple[dict[str, History], dict[str, History]]:
        profiles, keys = self._tables[self._turn], entities(charge)
        read = profiles.read(keys.values())
        own = {kind: read[key].get(profiles.region, NOTHING) for kind, key in keys.items()}
        return own, {kind: merged(read[key].values()) for kind, key in keys.items()}

    def features(self, charge: Charge) -> list[float]:
        return row(charge, self._read(charge)[1])

    def count(self, charge: Charge, blocked: bool) -> None:
        self._write(charge, remember(charge, *self._read(charge), blocked))

    def confirm(self, charge: Charge, at: int) -> None:
        self._write(charge, remember_fraud(charge, *self._read(charge), at))

    def _write(self, charge: Charge, changes: dict[str, Any]) -> None:
        keys = entities(charge)
        self._tables[self._turn].write({keys[kind]: change for kind, change in changes.items()})
        self._turn = (self._turn + 1) % len(self._tables)


def _same(one: list[float], other: list[float]) -> bool:
    return repr([float(value) for value in one]) == repr([float(value) for value in other])  # repr: NaN equals NaN


def test_serving_sees_the_features_that_training_saw(client: Any) -> None:
    """A stream of generated traffic, with labels that come late, through the table and through memory: the same rows,
    value by value."""
    scale = Scale(63, shoppers=3, guests=8, kiosks=0, gateways=0, agencies=0, fleets=0, testing=1, stolen=2,
                  takeovers=3, stealthy=1, compromises=1, bust_outs=2, resales=1)  # fmt: skip
    stream = [(one.charge, one.stopped, one.confirmed_at, one.pattern) for one in generate(26, scale)]
    told = [one[:3] for one in stream]
    trained, served = list(rows(told, Memory())), list(rows(told, Served(client, REGIONS[:1])))
    assert len({pattern for *_, pattern in stream}) >= 6
    assert sum(at is not None for _, _, at in told) >= 10
    for one, other in zip(trained, served, strict=True):
        differing = [name for name, a, b in zip(NAMES, one, other, strict=True) if not _same([a], [b])]
        assert differing == []
    spoken = {name for one in trained for name, value in zip(NAMES, one, strict=True) if value == value and value}
    assert len(spoken) > 0.8 * len(NAMES)


def test_two_regions_serve_the_features_that_one_would(client: Any) -> None:
    """Charges alternate between the regions; what the items say together is what one region alone would know."""
    charges = [replace(PERSONAL, payment_id=f"pay_{i}", amount=1000 + 37 * i, card=f"tok_{i % 3}", at=NOON + 5000 * i)
               for i in range(24)]  # fmt: skip
    told = [(charge, False, charge.at + 86_400 if i % 9 == 0 else None) for i, charge in enumerate(charges)]
    for one, other in zip(rows(told, Memory()), rows(told, Served(client, REGIONS)), strict=True):
        assert _same(one, other)


def test_a_confirmed_fraud_counts_once_however_often_it_is_told(client: Any) -> None:
    served, thief = Served(client, REGIONS[:1]), replace(PERSONAL, payment_id="pay_9")
    served.count(thief, False)
    for hour in range(3):
        served.confirm(thief, NOON + (24 + hour) * HOUR)
    facts = dict(zip(NAMES, served.features(replace(PERSONAL, at=NOON + 48 * HOUR)), strict=True))
    assert [facts[f"{kind}_frauds"] for kind in ("card", "customer", "device", "ip", "email")] == [1, 1, 1, 1, 1]
    assert (facts["merchant_quiet_frauds_7d"], facts["card_new"]) == (1, 1)


def test_a_missing_table_degrades_the_answer_and_raises_nothing(client: Any, model: Model) -> None:
    answer = score(CHARGE, table(client, name="nowhere"), only(model), no_lists).answer()
    assert answer == {
        "score": 0,
        "decision": "review",
        "reasons": ["profiles_unavailable"],
        "model": "rules",
        "degraded": True,
        "features_hash": None,
        "rule": None,
    }


def test_a_table_that_answers_in_part_counts_as_away(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"fraud-profiles": {"Keys": [{"entity": {"S": "card#tok_1"}, "region": {"S": REGIONS[0]}}]}}
    monkeypatch.setattr(client, "batch_get_item", lambda **_: {"Responses": {}, "UnprocessedKeys": left})
    with pytest.raises(ProfilesUnavailable, match="unprocessed"):
        table(client).read(["card#tok_1"])


def test_a_charge_that_cannot_be_counted_is_scored_all_the_same(
    client: Any, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ReadTimeoutError

    def no_answer(**_: object) -> None:
        raise ReadTimeoutError(endpoint_url="dynamodb")

    monkeypatch.setattr(client, "update_item", no_answer)
    decision = score(CHARGE, table(client), only(model), no_lists)
    assert (decision.degraded, decision.model) == (False, model.version)


@pytest.fixture
def deployed(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("FRAUD_PROFILES_TABLE", "fraud-profiles")
    monkeypatch.setenv("FRAUD_RULES_TABLE", "fraud-rules")
    monkeypatch.setenv("REGIONS", json.dumps(dict.fromkeys(REGIONS, "")))
    cached = (app._settings, app._table, app._rules, app._model, app._models, app._scores)
    cached += (app.dynamodb_client, app.rules_client)
    for function in cached:
        function.cache_clear()
    yield client
    for function in cached:
        function.cache_clear()


def sample(**changes: Any) -> dict[str, Any]:
    return {**json.loads((ROOT / "events" / "fraud.json").read_text()), **changes}


def test_the_handler_answers_the_sample_event_as_agreed(deployed: Any) -> None:
    answer = app.handler(sample(), None)
    assert set(answer) == {"score", "decision", "reasons", "model", "degraded", "features_hash", "rule"}
    assert (answer["decision"], len(answer["features_hash"]), answer["rule"]) == ("allow", 16, None)
    assert (answer["reasons"], answer["degraded"]) == ([], False)
    assert isinstance(answer["score"], int)
    assert 0 <= answer["score"] <= 60


def test_card_testing_through_the_handler_ends_in_a_block(deployed: Any) -> None:
    """The demo's recipe: twelve cards on one device, 100 to 111; then 950000."""
    for i in range(12):
        app.handler(sample(payment_id=f"pay_{i}", amount=100 + i, card={"token": f"tok_{i}"}), None)
    answer = app.handler(sample(payment_id="pay_12", amount=950_000, card={"token": "tok_0"}), None)
    assert (answer["score"] > 80, answer["decision"]) == (True, "block")
    assert "many_cards_on_device" in answer["reasons"]


def test_too_many_attempts_on_a_card_are_blocked_by_rule(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARD_ATTEMPTS_PER_HOUR", "3")
    answers = [app.handler(sample(payment_id=f"pay_{i}"), None) for i in range(4)]
    assert [answer["score"] == 100 for answer in answers] == [False, False, False, True]
    assert answers[-1]["reasons"] == ["card_attempts_limit"]


def test_a_missing_model_degrades_the_answer(deployed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = replace(app._settings(), model_directory=tmp_path)
    monkeypatch.setattr(app, "_settings", lambda: settings)
    monkeypatch.setattr(app, "_table", lambda _: table(deployed))
    answer = app.handler(sample(), None)
    assert (answer["score"], answer["decision"], answer["degraded"]) == (0, "review", True)
    assert (answer["reasons"], answer["model"]) == (["model_unavailable"], "rules")
    assert answer["features_hash"], "profiles were there, and count"


def test_nothing_logged_tells_who_the_customer_is(deployed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    handler = logging.StreamHandler()
    handler.setFormatter(app.logger.registered_formatter)
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    app.logger.addHandler(handler)
    try:
        app.handler(sample(), None)
    finally:
        app.logger.removeHandler(handler)
    (line,) = lines
    assert "a@example.com" not in line
    assert "203.0.113.7" not in line
    assert json.loads(line)["score"] <= 60
