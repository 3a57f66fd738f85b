"""A chaos run: load through the edge, faults meanwhile, then everything is healed, comes to rest and is audited."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local import seed
from local.chaos_audit import Verdict, audit, disagreeing, untold
from local.chaos_faults import Tell, Weather, plan
from local.chaos_load import Load, Shop
from local.chaos_view import View, differing
from local.client import TimedOut
from local.deploy import aws
from local.ledger import LEDGER, Region
from local.settings import ACCOUNT, REGIONS, Settings
from payments import records
from payments.records import StoredJournal

SHOPS, CUSTOMERS = 4, 6
PATIENCE_SECONDS = 150.0
"""How long clients go on asking after everything is healed."""
SETTLE_SECONDS = 300.0
_LOOK_SECONDS = 2.5
_SWEEP_SECONDS = 15.0
"""How often the sweepers run while everything comes to rest. AWS runs them every minute; nobody waits here for that."""


class Watch:
    """Reads both ledgers over and over while the run goes on: no journal may be unbalanced, or change, at any time."""

    def __init__(self, at: Settings, regions: Sequence[str] = REGIONS):
        self._regions = [Region(name, lambda service, region: aws(at, service, region, 5), ACCOUNT) for name in regions]
        self._seen: dict[tuple[str, str], Any] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(region,), daemon=True) for region in self._regions]
        self.looks = 0
        self.findings: list[str] = []

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, region: Region) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                for page in region.scan(LEDGER):
                    for item in page:
                        self._look(region.name, records.plain(item))
                self.looks += 1
            except (BotoCoreError, ClientError):
                continue  # it is frozen or gone: nobody can look

    def _look(self, region: str, item: dict[str, Any]) -> None:
        name, entries = (item["payment_id"], item["journal_id"]), item["entries"]
        try:
            StoredJournal.of(item).journal()
        except ValueError as error:
            self.findings.append(f"{region}: journal {name} was seen as {error!r}")
        if self._seen.setdefault(name, entries) != entries:
            self.findings.append(f"{region}: journal {name} has changed: it was {self._seen[name]}, and is {entries}")


def open_shops(at: Settings, number: int = SHOPS) -> list[Shop]:
    """New merchants, by turns at home in each region, whose webhooks go to the inbox. Raises `TimedOut`."""
    shops = []
    secret = json.loads(at.path("webhook-secrets.json").read_text())[0]
    for index in range(number):
        merchant = seed.make_merchant(at, f"Shop {index}", seed.merchant_of(index % len(REGIONS)))
        seed.make_endpoint(at, merchant, secret)
        shops.append(merchant)
    for merchant in shops:
        seed.await_arrival(at, merchant)
    return [Shop(merchant.merchant_id, merchant.api_key) for merchant in shops]


def load_on(at: Settings, endpoints: dict[str, Any], seed_: int, shops: int = SHOPS) -> Load:
    """A load on the running local cloud, not yet begun."""
    gateways = {region: endpoints["regions"][region]["api"] for region in REGIONS}
    return Load(open_shops(at, shops), endpoints["edge"], gateways, seed_)


def settle(view: Callable[[], View], at: Settings, regions: Sequence[str], seconds: float = SETTLE_SECONDS) -> View:
    """The view once everything has come to rest: nothing waits, copies and balances agree, every webhook has come.

    Sweepers and dead letters are seen to, as the schedule and the operators would. Raises `TimedOut`, with what it
    still waited for.
    """
    deadline, swept = time.monotonic() + seconds, 0.0
    while True:
        if time.monotonic() - swept > _SWEEP_SECONDS:
            tend(at, regions)
            swept = time.monotonic()
        now = view()
        waiting = unsettled(now)
        if not waiting:
            return now
        if time.monotonic() > deadline:
            raise TimedOut(f"after {seconds:.0f} s this had not come to rest: {waiting[:5]}")
        time.sleep(2)


def unsettled(view: View) -> list[str]:
    """What is still on its way."""
    first, found = view.copies[0], []
    for copy in view.copies:
        found += [
            f"{name} waits in {copy.name}"
            for name, item in copy.payments.items()
            if item.get("status") in ("pending", "conflict") or item.get("outstanding")
        ]
        found += [f"balance {key} in {copy.name}" for key in differing(copy.sums(), copy.balances)]
        found += [f"payment {key}" for key in differing(first.payments, copy.payments)]
        found += [f"journal {key}" for key in differing(first.journals, copy.journals)]
    found = found or [
        f"payment {payment.payment_id}" + (f": {cause}" if cause else " says less than its journals")
        for payment, cause in disagreeing(view)
    ]
    return found or [f"event {event}" for event in untold(view)]


def tend(at: Settings, regions: Sequence[str]) -> None:
    """What the schedule and the operators do: the sweepers run, and dead letters are sent again."""
    for region in regions:
        aws(at, "lambda", region).invoke(FunctionName="payments-sweeper", InvocationType="Event", Payload=b"{}")
        redrive(at, region)


def redrive(at: Settings, region: str) -> int:
    """Send every dead letter of a region to its queue again; how many there were."""
    sqs, sent = aws(at, "sqs", region), 0
    for url in sqs.list_queues().get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"]).get("Attributes", {})
        if "RedrivePolicy" not in attributes:
            continue
        name = json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
        dead = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        while messages := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
            for message in messages:
                sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
                sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
                sent += 1
    return sent


def play(at: Settings, endpoints: dict[str, Any], seed_: int, seconds: float, tell: Tell) -> list[Verdict]:
    """A whole run of this seed: `seconds` of load and faults, then the audit; it finds what has not come to rest."""
    load, weather, watch = load_on(at, endpoints, seed_), Weather(at, endpoints, tell), Watch(at)
    watch.start()
    load.start(CUSTOMERS)
    over = threading.Event()
    try:
        timer = threading.Timer(seconds, over.set)
        timer.start()
        weather.run(plan(seed_, seconds), over)
        over.wait()
    finally:
        timer.cancel()
        load.closing.set()
        weather.heal()
    tell("healed; clients go on until they are answered")
    unanswered = load.finish(PATIENCE_SECONDS)
    tell(f"{len(load.requests)} requests, {unanswered} unanswered; everything comes to rest")
    watch.stop()
    try:
        view = settle(lambda: View(at, endpoints, load, REGIONS, watch.findings), at, REGIONS)
    except TimedOut as error:
        tell(str(error))
        view = View(at, endpoints, load, REGIONS, watch.findings)
    tell(f"the ledgers were read {watch.looks} times meanwhile")
    return audit(view)
