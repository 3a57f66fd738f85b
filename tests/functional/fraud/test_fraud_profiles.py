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
from functions.fraud.features import NOTHING, remember, row
from functions.fraud.history import HOUR, History, merged, window
from functions.fraud.model import Model, load_model
from functions.fraud.profiles import ProfilesUnavailable, ProfileTable
from functions.fraud.rules import Lists, card_attempts
from functions.fraud.scoring import score
from models.fraud.dataset import Memory
from models.fraud.generate import Scale, generate

ROOT = Path(__file__).parents[3]
REGIONS = ("us-east-1", "us-west-2")
NOON = 1_795_435_200  # 23 November 2026, 12:00 UTC
CHARGE = Charge("pay_1", "mer_1", 4200, "USD", NOON, "tok_1", "cus_1", "dev_1")


def no_lists() -> Lists:
    """Lists and rules where nobody has made any."""
    return Lists(rules=(card_attempts(100),))


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


def test_a_charge_is_counted_for_card_customer_and_device(client: Any, model: Model) -> None:
    score(CHARGE, table(client), model, no_lists)
    for key in entities(CHARGE).values():
        history = known(client, key)
        assert (history.numbers["charges"], history.numbers["spent"], history.numbers["peak"]) == (1, 4200, 4200)
        assert window(history, "h", NOON // HOUR, 24) == (1, 4200)
    item = client.get_item(
        TableName="fraud-profiles", Key={"entity": {"S": "card#tok_1"}, "region": {"S": REGIONS[0]}}
    )["Item"]
    assert int(item["expires_at"]["N"]) > NOON


def test_only_what_the_merchant_sent_is_written(client: Any, model: Model) -> None:
    score(replace(CHARGE, customer=None, device=None), table(client), model, no_lists)
    assert client.scan(TableName="fraud-profiles")["Count"] == 1


def test_both_regions_count_together_and_write_apart(client: Any, model: Model) -> None:
    score(CHARGE, table(client, REGIONS[0]), model, no_lists)
    score(replace(CHARGE, payment_id="pay_2", amount=100), table(client, REGIONS[1]), model, no_lists)
    assert known(client, "card#tok_1").numbers["spent"] == 4300
    items = client.scan(TableName="fraud-profiles")["Items"]
    assert sorted({item["region"]["S"] for item in items}) == list(REGIONS)
    assert all(item["charges"] == {"N": "1"} for item in items)


@pytest.mark.parametrize("second_region", REGIONS)
def test_a_payment_scored_again_counts_once(client: Any, model: Model, second_region: str) -> None:
    score(CHARGE, table(client), model, no_lists)
    score(replace(CHARGE, at=NOON + 500), table(client, second_region), model, no_lists)
    assert known(client, "card#tok_1").numbers["charges"] == 1


def test_the_same_payment_scored_concurrently_counts_once(client: Any) -> None:
    """Ten attempts that all read an empty profile: the condition on the write decides."""
    profiles = table(client)
    changes = {key: remember(kind, NOTHING, CHARGE, False) for kind, key in entities(CHARGE).items()}
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
        assert window(history, "m", NOON // 600, 6) == (40, history.numbers["spent"])


def _changes(profiles: ProfileTable, charge: Charge) -> dict[str, Any]:
    keys = entities(charge)
    read = profiles.read(keys.values())
    return {key: remember(kind, read[key].get(REGIONS[0], NOTHING), charge, False) for kind, key in keys.items()}


def test_concurrent_charges_after_a_quiet_day_are_all_counted(client: Any, model: Model) -> None:
    """All of them see and drop the same expired buckets."""
    score(CHARGE, table(client), model, no_lists)
    profiles, later = table(client), NOON + 48 * HOUR
    charges = [replace(CHARGE, payment_id=f"pay_b{i}", at=later) for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda charge: profiles.write(_changes(profiles, charge)), charges))
    history = known(client, "card#tok_1")
    assert window(history, "h", later // HOUR, 24)[0] == 20
    assert f"h{NOON // HOUR}" not in history.numbers
    assert history.numbers["charges"] == 21


def test_serving_sees_the_features_that_training_saw(client: Any) -> None:
    """A stream of generated traffic through the table and through memory gives the same rows."""
    scale = Scale(3, shoppers=8, guests=5, kiosks=1, gateways=1, agencies=1, fleets=1, testing=1, stolen=2, takeovers=2)
    memory, profiles = Memory(), table(client)
    stream = generate(5, replace(scale, stealthy=1))[:250]
    assert len({labelled.pattern for labelled in stream}) >= 5
    for labelled in stream:
        charge, keys = labelled.charge, entities(labelled.charge)
        read = profiles.read(keys.values())
        served = row(charge, {kind: merged(read[key].values()) for kind, key in keys.items()})
        assert repr(served) == repr(memory.features(charge))  # repr: NaN equals NaN
        own = {kind: read[key].get(REGIONS[0], NOTHING) for kind, key in keys.items()}
        profiles.write({key: remember(kind, own[kind], charge, labelled.stopped) for kind, key in keys.items()})
        memory.count(charge, labelled.stopped)


def test_a_missing_table_degrades_the_answer_and_raises_nothing(client: Any, model: Model) -> None:
    answer = score(CHARGE, table(client, name="nowhere"), model, no_lists).answer()
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
    decision = score(CHARGE, table(client), model, no_lists)
    assert (decision.degraded, decision.model) == (False, model.version)


@pytest.fixture
def deployed(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("FRAUD_PROFILES_TABLE", "fraud-profiles")
    monkeypatch.setenv("FRAUD_RULES_TABLE", "fraud-rules")
    monkeypatch.setenv("REGIONS", json.dumps(dict.fromkeys(REGIONS, "")))
    cached = (app._settings, app._table, app._rules, app._model, app.dynamodb_client, app.rules_client)
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
