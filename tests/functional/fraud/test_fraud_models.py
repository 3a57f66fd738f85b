"""Which model is asked: a promotion, a rollback, what cannot be loaded, and a model in shadow (moto)."""

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import pytest

from functions.fraud import app, models, scoring
from functions.fraud.booster import ModelUnavailable
from functions.fraud.features import NAMES
from functions.fraud.listed import Presented
from functions.fraud.lists import FRESH_SECONDS, RuleTable
from functions.fraud.model import Model, Opinion, Pointers, load_model
from functions.fraud.models import RETRY_SECONDS, Bucket, Models
from functions.fraud.profiles import ProfileTable
from functions.fraud.scores import ScoreLog
from functions.fraud.scoring import score
from tests.functional.fraud.world import (
    BUCKET,
    CHARGE,
    REGIONS,
    SHIPPED,
    aws,
    client,
    files,
    items,
    make_tables,
    only,
    point,
    put_model,
)

SHOWN = Presented("tok_1")
ROW = [1.0] * len(NAMES)
ALWAYS_7 = [7.0, 7.0]
"""Scores at the knots of a model that is recognized by them."""


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with aws(monkeypatch):
        made = client()
        make_tables(made)
        yield made


@pytest.fixture
def s3(dynamodb: Any) -> Any:
    made = client("s3")
    made.create_bucket(Bucket=BUCKET)
    return made


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(SHIPPED)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Version and message of what is logged about models."""
    lines: list[tuple[str, str]] = []
    for level in ("info", "error"):
        monkeypatch.setattr(
            models.logger, level, lambda message, extra, level=level: lines.append((level, extra.get("model", message)))
        )
    return lines


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Cloud:
    """A fraud function's parts, over one clock, as app.py puts them together."""

    def __init__(self, dynamodb: Any, shipped: Model | None, fetch: Callable[[str], Model] | None = None) -> None:
        self.clock, self.fetched = Clock(), list[str]()
        self._fetch = fetch or Bucket(REGIONS[0], BUCKET).fetch
        self.models = Models(shipped, self._count, self.clock)
        self.rules = RuleTable(dynamodb, "fraud-rules", (), self.clock, patience=30.0)  # moto is slow at first
        self.profiles = ProfileTable(dynamodb, "fraud-profiles", REGIONS[0], REGIONS)
        self.log = ScoreLog(dynamodb, "fraud-scores", 1, "")

    def _count(self, version: str) -> Model:
        assert current_thread() is not main_thread(), "no charge waits for a model"
        self.fetched.append(version)
        return self._fetch(version)

    def charge(self) -> Any:
        return score(CHARGE, self.profiles, self.models.asked, self.rules.ask("mer_1", SHOWN), log=self.log)

    def settled(self) -> Any:
        """The answer to a charge when nothing is being loaded any more."""
        self.charge()
        for _ in range(500):
            if not self.models._loading or self.models._loading[1].done():
                break
            time.sleep(0.01)
        return self.charge()


def test_a_champion_is_asked_within_seconds_and_the_answer_names_it(
    dynamodb: Any, s3: Any, shipped: Model, told: list[tuple[str, str]]
) -> None:
    cloud = Cloud(dynamodb, shipped)
    put_model(s3, "lightgbm-b", files("lightgbm-b", ALWAYS_7))
    assert cloud.charge().model == shipped.version

    point(dynamodb, "champion", "lightgbm-b")
    cloud.clock.now += FRESH_SECONDS - 0.1
    assert cloud.settled().model == shipped.version
    assert cloud.fetched == []
    cloud.clock.now += 0.1
    assert cloud.charge().model == shipped.version, "the one before answers until the new one is loaded"
    answer = cloud.settled()
    assert (answer.model, answer.score) == ("lightgbm-b", 7)
    assert (cloud.fetched, told) == (["lightgbm-b"], [("info", "lightgbm-b")])


def test_a_rollback_counts_at_once_and_fetches_nothing(dynamodb: Any, s3: Any, shipped: Model) -> None:
    cloud = Cloud(dynamodb, shipped)
    put_model(s3, "lightgbm-b", files("lightgbm-b", ALWAYS_7))
    point(dynamodb, "champion", "lightgbm-b")
    assert cloud.settled().model == "lightgbm-b"
    for version in (shipped.version, None):
        point(dynamodb, "champion", version)
        cloud.clock.now += FRESH_SECONDS
        assert cloud.charge().model == shipped.version
    assert cloud.fetched == ["lightgbm-b"]


def test_where_the_shipped_version_is_champion_s3_is_not_asked(dynamodb: Any, shipped: Model) -> None:
    cloud = Cloud(dynamodb, shipped)
    for role in ("champion", "shadow"):
        point(dynamodb, role, shipped.version)
    assert cloud.settled().model == shipped.version
    assert cloud.fetched == []
    assert cloud.models._loader is None


SPOILED = {
    "another text": {**files("lightgbm-b"), "model.txt": (SHIPPED / "model.txt").read_bytes().replace(b"0.1", b"0.2")},
    "cut off": {**files("lightgbm-b"), "model.txt": (SHIPPED / "model.txt").read_bytes()[:1000]},
    "other features": files("lightgbm-b", features=["amount_log"]),
    "another version inside": files("lightgbm-c"),
    "no JSON": {**files("lightgbm-b"), "model.json": b"{"},
    "no calibration": files("lightgbm-b", calibration={}),
    "scores that fall": files("lightgbm-b", [50.0, 40.0]),
    "scores above 100": files("lightgbm-b", [50.0, 101.0]),
    "no number": files("lightgbm-b", calibration={"log_odds": [0, float("nan")], "scores": [0, 1]}),
    "no knots": files("lightgbm-b", []),
    "no text": {"model.json": files("lightgbm-b")["model.json"]},
    "nothing": {},
}


@pytest.mark.parametrize("content", SPOILED.values(), ids=SPOILED)
def test_what_cannot_be_loaded_leaves_the_one_before_and_is_told(
    dynamodb: Any, s3: Any, shipped: Model, told: list[tuple[str, str]], content: dict[str, bytes]
) -> None:
    cloud = Cloud(dynamodb, shipped)
    put_model(s3, "lightgbm-b", content)
    point(dynamodb, "champion", "lightgbm-b")
    answer = cloud.settled()
    assert (answer.model, answer.degraded) == (shipped.version, False)
    assert told == [("error", "lightgbm-b")]

    cloud.clock.now += RETRY_SECONDS - 1
    cloud.settled()
    assert len(cloud.fetched) == 1, "not more often than every minute"
    put_model(s3, "lightgbm-b", files("lightgbm-b", ALWAYS_7))
    cloud.clock.now += 1
    assert cloud.settled().model == "lightgbm-b"
    assert told == [("error", "lightgbm-b"), ("info", "lightgbm-b")]


def test_a_model_that_is_too_large_is_not_taken(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MOST_BYTES", 1000)
    put_model(s3, "lightgbm-b", files("lightgbm-b"))
    with pytest.raises(ModelUnavailable, match="more than"):
        Bucket(REGIONS[0], BUCKET).fetch("lightgbm-b")


@pytest.mark.parametrize("version", ["", "../../x", "a/b", "x" * 41, "ü"])
def test_what_is_no_version_is_not_looked_for(version: str) -> None:
    with pytest.raises(ModelUnavailable, match="no version"):
        Bucket("nowhere", "no-bucket").fetch(version)


def test_charges_go_on_while_a_model_is_fetched_and_it_is_fetched_once(
    dynamodb: Any, shipped: Model, told: list[tuple[str, str]]
) -> None:
    arrived = Event()

    def slow(version: str) -> Model:
        arrived.wait(30)
        raise ModelUnavailable("it never came")

    cloud = Cloud(dynamodb, shipped, slow)
    point(dynamodb, "champion", "lightgbm-b")
    assert [cloud.charge().model for _ in range(20)] == [shipped.version] * 20
    arrived.set()
    assert cloud.settled().model == shipped.version
    assert cloud.fetched == ["lightgbm-b"]


def test_pointers_that_cannot_be_read_leave_the_champion(dynamodb: Any, s3: Any, shipped: Model) -> None:
    cloud = Cloud(dynamodb, shipped)
    put_model(s3, "lightgbm-b", files("lightgbm-b", ALWAYS_7))
    point(dynamodb, "champion", "lightgbm-b")
    assert cloud.settled().model == "lightgbm-b"

    dynamodb.put_item(
        TableName="fraud-rules",
        Item={"scope": {"S": "global"}, "entry": {"S": "model#champion"}, "version": {"N": "1"}},
    )
    cloud.clock.now += FRESH_SECONDS
    assert cloud.charge().model == "lightgbm-b"
    dynamodb.delete_table(TableName="fraud-rules")
    cloud.clock.now += 3600
    assert cloud.charge().model == "lightgbm-b"


def test_a_merchants_scope_says_nothing_about_models(dynamodb: Any, shipped: Model) -> None:
    cloud = Cloud(dynamodb, shipped)
    dynamodb.put_item(
        TableName="fraud-rules",
        Item={"scope": {"S": "mer_1"}, "entry": {"S": "model#champion"}, "version": {"S": "lightgbm-b"}},
    )
    answer = cloud.settled()
    assert (answer.model, answer.degraded, cloud.fetched) == (shipped.version, False, [])


def test_pointers_cost_no_round_trip(dynamodb: Any, shipped: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    query = dynamodb.query
    monkeypatch.setattr(dynamodb, "query", lambda **arguments: asked.append(arguments) or query(**arguments))
    monkeypatch.setattr(dynamodb, "get_item", None)
    point(dynamodb, "champion", shipped.version)
    Cloud(dynamodb, shipped).charge()
    assert len(asked) == 2, "one for each scope, as before there were pointers"


def test_without_the_shipped_model_a_champion_is_asked_when_it_is_there(dynamodb: Any, s3: Any) -> None:
    cloud = Cloud(dynamodb, None)
    put_model(s3, "lightgbm-b", files("lightgbm-b", ALWAYS_7))
    point(dynamodb, "champion", "lightgbm-b")
    assert cloud.charge().degraded
    assert cloud.settled().model == "lightgbm-b"


def test_shadow_says_its_word_to_the_log_only_and_is_promoted_without_being_fetched_again(
    dynamodb: Any, s3: Any, shipped: Model
) -> None:
    cloud = Cloud(dynamodb, shipped)
    put_model(s3, "lightgbm-s", files("lightgbm-s", ALWAYS_7))
    point(dynamodb, "shadow", "lightgbm-s")
    answer = cloud.settled()
    assert (answer.model, answer.shadow.model, answer.shadow.score) == (shipped.version, "lightgbm-s", 7)
    assert "lightgbm-s" not in str(answer.answer())
    assert {name: answer.logged()[f"shadow_{name}"] for name in ("model", "score")} == {
        "model": "lightgbm-s", "score": 7}  # fmt: skip

    point(dynamodb, "champion", "lightgbm-s")
    point(dynamodb, "shadow", None)
    cloud.clock.now += FRESH_SECONDS
    answer = cloud.charge()
    assert (answer.model, answer.shadow, cloud.fetched) == ("lightgbm-s", None, ["lightgbm-s"])


class Failing:
    """A model that can say nothing."""

    version = "failing"

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def opinion(self, row: object) -> Opinion:
        raise self._fault


@pytest.mark.parametrize("fault", [ModelUnavailable("predict"), ZeroDivisionError(), MemoryError()])
def test_a_shadow_that_raises_changes_nothing(
    dynamodb: Any, shipped: Model, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(scoring.logger, "warning", lambda message, extra: told.append(message))
    cloud = Cloud(dynamodb, shipped)
    none: Any = lambda: cloud.rules.ask("mer_1", SHOWN)()  # noqa: E731
    answers = [
        score(CHARGE, ProfileTable(dynamodb, "fraud-profiles", REGIONS[0], REGIONS), judges, none, log=cloud.log)
        for judges in (only(shipped, Failing(fault)),)
    ]
    (kept,) = items(dynamodb)
    assert [(answer.model, answer.degraded, answer.shadow) for answer in answers] == [(shipped.version, False, None)]
    assert "shadow_model" not in kept
    assert told == ["no word of the shadow"]


def test_a_shadow_never_changes_the_answer(dynamodb: Any, s3: Any, shipped: Model) -> None:
    """Not even one that would block everything."""
    put_model(s3, "lightgbm-s", files("lightgbm-s", [100.0, 100.0]))
    alone, watched = Cloud(dynamodb, shipped), Cloud(dynamodb, shipped)
    expected = alone.charge().answer()
    for table in ("fraud-profiles", "fraud-scores"):
        dynamodb.delete_table(TableName=table)
    dynamodb.delete_table(TableName="fraud-rules")
    make_tables(dynamodb)
    point(dynamodb, "shadow", "lightgbm-s")
    watched.models.asked(Pointers(None, "lightgbm-s"))
    watched.models._loading[1].result(30)  # type: ignore[index]
    answer = watched.charge()
    assert answer.shadow.score == 100
    assert answer.answer() == expected


def test_no_more_models_are_held_than_are_asked_and_their_memory_is_given_back(shipped: Model) -> None:
    made: list[weakref.ref[Any]] = []

    def fetch(version: str) -> Model:
        loaded = load_model(SHIPPED)
        loaded.version = version
        loaded.contributions(ROW)
        made.append(weakref.ref(loaded._booster))
        return loaded

    held = Models(shipped, fetch, Clock())
    for number in range(6):
        pointers = Pointers(f"b-{number}", f"s-{number}")
        for _ in range(2):
            held.asked(pointers)
            if held._loading:
                held._loading[1].result(30)
        panel = held.asked(pointers)
        assert (panel.champion.version, panel.shadow.version) == pointers_of(pointers)  # type: ignore[union-attr]
    gc.collect()
    assert set(held._loaded) == {shipped.version, "b-5", "s-5"}
    assert [ref() is not None for ref in made] == [False] * 10 + [True] * 2
    assert panel.champion.score(ROW) == shipped.score(ROW)  # type: ignore[union-attr]


def test_memory_of_models_that_nobody_holds_is_given_back() -> None:
    """Python sees a few hundred bytes of a model; its trees are LightGBM's."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for _ in range(20):
        load_model(SHIPPED).contributions(ROW)
    before = resident()
    for _ in range(150):
        load_model(SHIPPED).contributions(ROW)
    assert resident() - before < 15_000_000, "150 models of 0.4 MB"


def pointers_of(pointers: Pointers) -> tuple[str | None, str | None]:
    return pointers.champion, pointers.shadow


def test_the_function_itself_follows_the_pointers_and_its_log_line_has_the_shadow(
    dynamodb: Any, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "FRAUD_PROFILES_TABLE": "fraud-profiles",
        "FRAUD_RULES_TABLE": "fraud-rules",
        "FRAUD_SCORES_TABLE": "fraud-scores",
        "FRAUD_MODELS_BUCKET": BUCKET,
        "SCORES_RATE": "1",
        "REGIONS": "{}",
        "LISTS_BUDGET_MS": "30000",
        "PROFILES_BUDGET_MS": "60000",
    }.items():
        monkeypatch.setenv(name, value)
    cached: list[Any] = [app._settings, app._table, app._rules, app._models, app._scores]
    cached += [app.dynamodb_client, app.rules_client]
    for function in cached:
        function.cache_clear()
    put_model(s3, "lightgbm-b", files("lightgbm-b", ALWAYS_7))
    put_model(s3, "lightgbm-s", files("lightgbm-s", [33.0, 33.0]))
    for role, version in (("champion", "lightgbm-b"), ("shadow", "lightgbm-s")):
        point(dynamodb, role, version)
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(app.logger, "info", lambda message, extra: told.append(extra))
    event = {"payment_id": "pay_1", "merchant_id": "mer_1", "amount": 4200, "currency": "USD",
             "created_at": "2026-11-23T12:00:00.000Z", "card": {"token": "tok_1"}}  # fmt: skip
    try:
        for number in range(200):
            answer = app.handler({**event, "payment_id": f"pay_{number}"}, None)
            if answer["model"] == "lightgbm-b" and "shadow_score" in told[-1]:
                break
            time.sleep(0.05)
    finally:
        for function in cached:
            function.cache_clear()
    assert (answer["model"], answer["score"]) == ("lightgbm-b", 7)
    assert not [name for name in answer if "shadow" in name]
    assert (told[-1]["shadow_model"], told[-1]["shadow_score"]) == ("lightgbm-s", 33)
    last = [kept for kept in items(dynamodb) if kept["payment_id"] == {"S": f"pay_{number}"}]
    assert [(kept["model"]["S"], kept["shadow_model"]["S"]) for kept in last] == [("lightgbm-b", "lightgbm-s")]
