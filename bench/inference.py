"""What scoring costs: `python -m bench.inference`.

CPU time of this process, the median of several runs; the network is replaced by canned answers. Two figures for the
function: `fraud_cpu_ms` is the function's own code, DynamoDB's client replaced; `fraud_cpu_with_botocore_ms` adds
botocore's work on one BatchGetItem and up to six UpdateItem (serializing, signing, parsing) up to the HTTP connection.
"""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from functions.fraud import app
from functions.fraud.booster import Booster
from functions.fraud.charge import decode, entities
from functions.fraud.country import packaged
from functions.fraud.features import NAMES, NOTHING, remember
from functions.fraud.history import changed
from functions.fraud.listed import PREFIXES
from functions.fraud.lists import RuleTable
from functions.fraud.profiles import ProfileTable, stored_key
from functions.fraud.rules import card_attempts
from functions.fraud.scores import ScoreLog
from functions.fraud.settings import ROOT, Settings

REGIONS = ("us-east-1", "us-west-2")
EVENT = json.loads((ROOT / "events" / "fraud.json").read_text())


def _cpu_seconds(call: Callable[[], object], times: int, runs: int = 7) -> float:
    """Median CPU seconds of one call."""
    figures = []
    for _ in range(runs):
        start = time.process_time()
        for _ in range(times):
            call()
        figures.append((time.process_time() - start) / times)
    return statistics.median(figures)


def inference() -> dict[str, float]:
    """Microseconds for one row: by the C API as served, and by LightGBM's own Booster.predict."""
    import lightgbm
    import numpy as np

    path = ROOT / "models" / "fraud" / "model.txt"
    served, own = Booster(path, len(NAMES)), lightgbm.Booster(model_file=str(path))
    rows = np.random.default_rng(1).normal(2, 5, (512, len(NAMES)))
    lists, matrices = iter(rows.tolist() * 200), iter(list(rows[:, None, :]) * 20)
    return {
        "fast_c_api_us_per_row": _cpu_seconds(lambda: served.predict(next(lists)), 5000) * 1e6,
        "booster_predict_us_per_row": _cpu_seconds(lambda: own.predict(next(matrices), num_threads=1), 500) * 1e6,
    }


def _busy_items() -> list[dict[str, Any]]:
    """Both regions' items of the sample's entities after a charge every ten minutes for a day."""
    charge = decode(EVENT)
    keys = entities(charge)
    histories = dict.fromkeys(keys, NOTHING)
    for number in range(144):
        past = replace(charge, payment_id=f"pay_{number}", amount=4200 + number, at=charge.at - 86_400 + number * 600)
        for kind, difference in remember(past, histories, dict.fromkeys(keys, NOTHING), False).items():
            histories[kind] = changed(histories[kind], difference)
    items = []
    for kind, history in histories.items():
        attributes = {name: {"N": str(number)} for name, number in history.numbers.items()}
        attributes |= {name: {"SS": sorted(members)} for name, members in history.sets.items()}
        items += [
            {**attributes, "entity": {"S": stored_key(keys[kind], b"")}, "region": {"S": region}} for region in REGIONS
        ]
    return items


def _rules() -> list[dict[str, Any]]:
    """A scope with twenty rules of all kinds, none of which applies, and with every kind of list."""
    conditions = [
        {"kind": "amount_limit", "when": {"currency": "USD", "over": 10**9}},
        {"kind": "count_limit", "when": {"per": "card", "window": "24h", "over": 10**6}},
        {"kind": "sum_limit", "when": {"per": "card", "window": "24h", "currency": "USD", "over": 10**11}},
        {"kind": "card_testing", "when": {"per": "device", "window": "10m", "charges": 50, "cards": 40}},
    ]
    ranges = [f"ip{version}/{length}" for version, lengths in PREFIXES.items() for length in lengths]
    kinds = ["card", "bin", "email", "country", "device", "customer", *ranges]
    rules = [{"id": f"r{n}", "action": "block", "state": "on", **conditions[n % 4]} for n in range(20)]
    return [
        *({"entry": {"S": f"rule#{rule['id']}"}, "rule": {"S": json.dumps(rule)}} for rule in rules),
        *({"entry": {"S": f"uses#{kind}"}} for kind in kinds),
    ]


class _CannedClient:
    """DynamoDB's client without botocore."""

    class exceptions:  # noqa: N801
        ConditionalCheckFailedException = KeyError

    def __init__(self) -> None:
        self._answer = {"Responses": {"fraud-profiles": _busy_items()}, "UnprocessedKeys": {}}

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        return self._answer if "fraud-profiles" in RequestItems else {"Responses": {}}

    def query(self, **_: object) -> dict[str, Any]:
        return {"Items": _rules()}

    def update_item(self, **_: object) -> dict[str, Any]:
        return {}

    def put_item(self, **_: object) -> dict[str, Any]:
        return {}


def _canned_botocore() -> Any:
    """A botocore client whose HTTP answers are canned."""
    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    config = Config(parameter_validation=False)
    client = session.create_client("dynamodb", region_name=REGIONS[0], config=config)
    read = json.dumps({"Responses": {"fraud-profiles": _busy_items()}, "UnprocessedKeys": {}}).encode()

    def answer(request: Any, **_: object) -> AWSResponse:
        body = read if b"RequestItems" in request.body else b"{}"
        if request.headers["X-Amz-Target"].endswith(b".Query"):
            body = json.dumps({"Items": _rules()}).encode()
        response = AWSResponse(request.url, 200, {}, None)
        response._content = body
        return response

    client.meta.events.register("before-send.dynamodb", answer)
    return client


def function() -> dict[str, float]:
    """CPU milliseconds of a handled charge, its log line included, without the network.

    Lists and rules are remembered, as they are for all charges but a few a second; `fraud_cpu_lists_unread_ms` is the
    function's own code when everything about them has to be read.
    """
    for handler in app.logger.handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(open("/dev/null", "w"))  # noqa: SIM115
    settings = Settings(
        table="fraud-profiles",
        rules_table="fraud-rules",
        scores_table="fraud-scores",
        scores_rate=0.05,
        models_bucket="payments-fraud-models",
        region=REGIONS[0],
        regions=REGIONS,
        model_directory=ROOT / "models" / "fraud",
        card_attempts_per_hour=10**9,
        profiles_budget_ms=150,
    )
    app._settings = lambda: settings  # type: ignore[assignment]
    figures = {}
    hours = iter(range(0, 10**9, 3600))
    for name, client, clock in (
        ("fraud_cpu_ms", _CannedClient(), lambda: 0.0),
        ("fraud_cpu_lists_unread_ms", _CannedClient(), lambda: float(next(hours))),
        ("fraud_cpu_with_botocore_ms", _canned_botocore(), lambda: 0.0),
    ):
        table = ProfileTable(client, settings.table, settings.region, settings.regions)
        lists = RuleTable(client, settings.rules_table, (card_attempts(settings.card_attempts_per_hour),), clock)
        app._table = lambda _, table=table: table  # type: ignore[assignment, misc]
        app._rules = lambda _, lists=lists: lists  # type: ignore[assignment, misc]
        scores = ScoreLog(client, settings.scores_table, settings.scores_rate, "")
        app._scores = lambda _, scores=scores: scores  # type: ignore[assignment, misc]
        numbers = iter(range(10**9))
        figures[name] = (
            _cpu_seconds(lambda n=numbers: app.handler({**EVENT, "payment_id": f"pay_{next(n)}"}, None), 200) * 1e3
        )
    return figures


def importing() -> dict[str, float]:
    """Milliseconds of CPU to import the handler's module in a fresh interpreter, bytecode compiled, best of five."""
    code = "import time; t = time.process_time(); import functions.fraud.app; print(time.process_time() - t)"
    command = [sys.executable, "-X", f"pycache_prefix={Path('/tmp') / 'bench-pycache'}", "-c", code]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    runs = [subprocess.run(command, env=environment, capture_output=True, check=True) for _ in range(6)]
    return {"fraud_import_ms": min(float(run.stdout) for run in runs[1:]) * 1e3}


def bundled() -> dict[str, float]:
    """Megabytes, unzipped, of what is the fraud function's own in Lambda: its code, the shipped model, and of the
    wheels what the layer keeps: LightGBM's library and the file of countries, both as installed here."""
    import lightgbm

    files = [*(ROOT / "functions/fraud").glob("*.py"), *(ROOT / "models/fraud").glob("*model.*"), packaged()]
    files.append(Path(lightgbm.__file__).parent / "lib" / "lib_lightgbm.so")
    return {"fraud_bundle_mb": sum(file.stat().st_size for file in files) / 1e6}


def figures() -> dict[str, float]:
    """All figures by name; units in the names."""
    cpu = function()
    return {
        **inference(),
        **cpu,
        "scorings_per_core_second": 1_000 / cpu["fraud_cpu_ms"],
        "scorings_per_core_second_with_botocore": 1_000 / cpu["fraud_cpu_with_botocore_ms"],
        **importing(),
        **bundled(),
    }


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name:32} {figure:10.2f}")
