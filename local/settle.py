"""Settlement on the local cloud: the card networks' files, with errors planted or not, and a region's reconciliation.

Only what an operator could read is read: the bucket, the table `settlements`, the state machine.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import ClientError

from local import settlement_export
from local.client import new_key, until
from local.ledger import Refused, Region
from local.planting import Planted, truncated
from local.planting_field import Mark, Tolerance
from local.settings import ROOT
from local.settlement_export import File
from payments import records

TRUNCATED, REPEATED_FILE = "truncated", "repeated_file"
"""What is planted in whole files: one that broke off comes before the true one, and one comes a second time."""

SETTLEMENTS, MACHINE = "settlements", "payments-reconciliation"
_TERMS = ROOT / "functions" / "reconciliation" / "terms.json"
Report = dict[str, Any]
"""See docs/reconciliation.md, "The report"."""

_BEGIN_SECONDS, _RUN_SECONDS = 120, 900


@dataclass(frozen=True)
class Delivery:
    """A file on its way: its key in the bucket, its text, and what must become of it."""

    key: str
    text: str
    result: str
    rejected: int = 0


class Network:
    """The simulated card networks, at their address."""

    def __init__(self, url: str):
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def cut(self, settled_on: str) -> list[File]:
        """A file of each network of what is not settled yet."""
        cut = self._http.post("/settlements", json={"date": settled_on}).raise_for_status().json()["data"]
        return [self._file(found["reference"]) for found in cut]

    def _file(self, reference: str) -> File:
        return settlement_export.read(self._http.get(f"/settlements/{reference}").raise_for_status().text)


class Reconciliation:
    """A region's reconciliation, as an operator uses it."""

    def __init__(self, region: Region, states: Any, account: str):
        self._region, self._states = region, states
        self._bucket = f"payments-reconciliation-{account}-{region.name}"

    def deliver(self, key: str, text: str) -> str:
        """Put a file into the inbox and wait for the end of the run that takes it; its id. Raises `Refused`."""
        self._region.s3.put_object(Bucket=self._bucket, Key=key, Body=text.encode())
        return self._over(until(lambda: self._begun(key=key), _BEGIN_SECONDS, f"a run that takes {key}"))

    def run(self, as_of: str | None) -> str:
        """Have a run done as of a day, by default today, and wait for its end; its id. Raises `Refused`."""
        name = f"by-hand-{new_key()}"
        asked = {"as_of": as_of} if as_of else {}
        self._states.start_execution(stateMachineArn=self.machine(), name=name, input=json.dumps(asked))

        def begun() -> dict[str, Any] | None:
            self._check(name)
            return self._begun(origin=name)

        return self._over(until(begun, _BEGIN_SECONDS, f"a run as of {as_of}"))

    def report(self, run: str) -> Report:
        """The run's report; of a run whose file was refused, or repeated, and which has none, what became of it."""
        content = self._read(f"runs/{run}/report.json")
        if content is None:
            file = json.loads(self._read(f"runs/{run}/file.json") or b"{}")
            return {"run": run, "match_rate": None, "files": [file], "clearing": []}
        found: Report = json.loads(content)
        return found

    def save_page(self, run: str, directory: Path) -> Path | None:
        """The report as a page, in a file of this directory; None of a run that has none."""
        content = self._read(f"runs/{run}/report.html")
        if content is None:
            return None
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"{run}.html"
        file.write_bytes(content)
        return file

    def tolerance(self) -> Tolerance:
        """What the terms tolerate by network and currency; terms of single merchants are not looked at."""
        terms = json.loads(self._read("config/terms.json") or _TERMS.read_bytes())

        def of(network: str, currency: str) -> int:
            layers = (terms.get("networks", {}).get(network, {}), terms["default"])
            named = ((layer.get("tolerance", {}), name) for layer in layers for name in (currency, "*"))
            return next((int(amounts[name]) for amounts, name in named if name in amounts), 0)

        return of

    def records(self, runs: set[str] | None = None) -> list[dict[str, Any]]:
        """Every movement and line, or those whose class is of one of these runs."""
        found = (records.plain(item) for page in self._region.scan(SETTLEMENTS) for item in page)
        return [item for item in found if "class" in item and (runs is None or item["run"] in runs)]

    def _begun(self, **wanted: str) -> dict[str, Any] | None:
        """The run that was begun for an execution or a file: the first such."""
        items = map(records.plain, self._region.query(SETTLEMENTS, "network_ref = :run", {":run": "run"}))
        found = [item for item in items if all(item.get(name) == value for name, value in wanted.items())]
        return min(found, key=lambda item: item["number"], default=None)

    def _over(self, run: Mapping[str, Any]) -> str:
        """The id of a run once its report is there. Raises `Refused` when its execution failed."""
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            item = self._region.get(SETTLEMENTS, network_ref="run", line=run["run"])
            if item and item["state"]["S"] == "over":
                return str(run["run"])
            self._check(run["execution"])
            time.sleep(0.2)
        raise Refused(f"{run['run']} is still under way after {_RUN_SECONDS} s")

    def _check(self, execution: str) -> None:
        arn = f"{self.machine().replace(':stateMachine:', ':execution:')}:{execution}"
        found = self._states.describe_execution(executionArn=arn)
        if found["status"] not in ("RUNNING", "SUCCEEDED"):
            raise Refused(f"execution {execution}: {found['status']} {found.get('error')} {found.get('cause')}")

    def machine(self) -> str:
        machines = self._states.list_state_machines()["stateMachines"]
        return str(next(found["stateMachineArn"] for found in machines if found["name"] == MACHINE))

    def _read(self, key: str) -> bytes | None:
        try:
            content: bytes = self._region.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        return content


@dataclass(frozen=True)
class Settled:
    """What became of the files: reports of the runs in their order, and what is in the table since."""

    reports: tuple[Report, ...]
    records: tuple[dict[str, Any], ...]
    marks: tuple[Mark, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def last(self) -> Report:
        """The report of the last run that matched anything."""
        return next(report for report in reversed(self.reports) if "as_of" in report)


def settle(at: Reconciliation, planted: Planted, layout: str, whole: Mapping[str, int], as_of: str | None) -> Settled:
    """Deliver the files, one after the other, and reconcile as of a day, if one is given. Raises `Refused`.

    `whole` says how many of `TRUNCATED` and `REPEATED_FILE` are planted.
    """
    sent = tuple(deliveries(planted, layout, whole))
    runs = [at.deliver(one.key, one.text) for one in sent]
    if as_of or not runs:
        runs.append(at.run(as_of))
    return Settled(tuple(map(at.report, runs)), tuple(at.records(set(runs))), planted.marks, sent)


def deliveries(planted: Planted, layout: str, whole: Mapping[str, int]) -> Iterator[Delivery]:
    """The files as they are put into the inbox."""
    rejected = {mark.row for mark in planted.marks if mark.class_ is None}
    for number, file in enumerate(planted.files):
        text, prefix = settlement_export.written(file, layout), f"inbox/{file.network}/{file.reference}"
        suffix = settlement_export.SUFFIXES[layout]
        if number < whole.get(TRUNCATED, 0):
            yield Delivery(f"{prefix}-broke-off{suffix}", truncated(text), "refused")
        yield Delivery(f"{prefix}{suffix}", text, "accepted", len(rejected.intersection(file.rows)))
        if number < whole.get(REPEATED_FILE, 0):
            yield Delivery(f"{prefix}-again{suffix}", text, "repeated")
