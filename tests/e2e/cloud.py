"""What the end-to-end tests see of the platform: its API like a merchant, its tables like an auditor."""

import io
import json
import re
import time
import zipfile
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from local.client import Client, new_key, until, webhook, webhooks

FIRST, SECOND = "us-east-1", "us-west-2"
FAULT = "fault"


@dataclass
class Cloud:
    """The running local cloud."""

    endpoints: dict[str, Any]
    home: Path
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def merchant(self, region: str | None = None, api_key: str | None = None) -> Client:
        """The demo merchant's client, at the edge or at one region."""
        url = self.endpoints["regions"][region]["api"] if region else self.endpoints["edge"]
        return Client(url, api_key or self.endpoints["merchant"]["api_key"])

    def aws(self, service: str, region: str = FIRST) -> Any:
        """An AWS client on a region of the local cloud."""
        if (service, region) not in self.clients:
            self.clients[service, region] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.endpoints["regions"][region]["aws"],
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(read_timeout=120, retries={"total_max_attempts": 1}),
            )
        return self.clients[service, region]

    def items(self, table: str, region: str = FIRST) -> list[dict[str, Any]]:
        """Every item of a table."""
        pages = self.aws("dynamodb", region).get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [_plain(item) for page in pages for item in page["Items"]]

    def journals(self, payment_id: str, region: str = FIRST) -> list[dict[str, Any]]:
        """The payment's journals in one region, oldest first."""
        found = self.aws("dynamodb", region).query(
            TableName="ledger",
            KeyConditionExpression="payment_id = :p",
            ConsistentRead=True,
            ExpressionAttributeValues={":p": {"S": payment_id}},
        )
        return sorted(map(_plain, found["Items"]), key=lambda journal: journal["created_at"])

    def journals_everywhere(self, payment_id: str, names: list[str]) -> None:
        """Waits until both regions hold exactly these journals of the payment."""
        for region in (FIRST, SECOND):
            until(
                lambda: names_of(self.journals(payment_id, region)) == names,
                20,
                f"journals {names} of {payment_id} in {region}",
            )

    def stored_payment(self, payment_id: str, region: str = FIRST) -> dict[str, Any] | None:
        """The payment's item."""
        found = self.aws("dynamodb", region).get_item(
            TableName="payments", Key={"payment_id": {"S": payment_id}}, ConsistentRead=True
        )
        return _plain(found["Item"]) if "Item" in found else None

    def holdings(self, last4: str, region: str) -> list[dict[str, Any]]:
        """The vault's holdings of a card that a region has, its own ones only."""
        found = self.items("vault-tokens", region)
        own = f"#card#{region}"
        return [item for item in found if item["holding"].endswith(own) and item.get("last4") == last4]

    def authorizations(self, network_ref: str) -> list[dict[str, Any]]:
        """What the card network itself recorded under a reference."""
        recorded = httpx.get(f"{self.endpoints['card_network']}/authorizations", trust_env=False).json()["data"]
        return [found for found in recorded if found["network_ref"] == network_ref]

    def operations(self, network_ref: str) -> list[tuple[str, int, str]]:
        """What the card network did under a reference, in its order: kind, amount and status."""
        recorded = httpx.get(f"{self.endpoints['card_network']}/authorizations", trust_env=False).json()["operations"]
        return [
            (done["kind"], done["amount"], done["status"]) for done in recorded if done["network_ref"] == network_ref
        ]

    def ask(self, function: str, event: dict[str, Any], region: str = FIRST) -> Any:
        """What a Lambda function answers."""
        answer = self.aws("lambda", region).invoke(FunctionName=function, Payload=json.dumps(event))
        content = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, content
        return content

    def command(self, payment: dict[str, Any], command: str, key: str, **changes: Any) -> Any:
        """What an operator's command on a stored payment comes to."""
        asked = {"command": command, "payment_id": payment["payment_id"], "merchant_id": payment["merchant_id"]}
        details = {"key": key, "fingerprint": "f" * 64, "amount": None, "final": False, "reason": None, **changes}
        return self.ask("payments-ledger-command", {**asked, **details}, self.primary())

    def told(self, payment_id: str) -> list[dict[str, Any]]:
        """The events about a payment that its merchant has been told of, each once, in the order of their sequence."""
        events = {found["body"]["id"]: found["body"] for found in webhooks(self.endpoints["webhook_inbox"], payment_id)}
        return sorted(events.values(), key=lambda event: event["sequence"])

    def finished(self, payment_id: str, seconds: float = 90) -> dict[str, Any]:
        """The stored payment once both regions show the same and nothing is outstanding."""

        def same() -> dict[str, Any] | None:
            there, here = (self.stored_payment(payment_id, region) for region in (FIRST, SECOND))
            return here if here == there and here and not here.get("outstanding") else None

        return until(same, seconds, f"{payment_id} to be the same in both regions, with nothing outstanding")

    def webhook(self, payment_id: str) -> dict[str, Any]:
        """The verified delivery about a payment."""
        return webhook(self.endpoints["webhook_inbox"], payment_id)

    def primary(self) -> str:
        """The region that writes for the demo merchant."""
        from payments.identifiers import merchant_shard

        shard = merchant_shard(self.endpoints["merchant"]["id"])
        return (FIRST, SECOND)[shard % 2]

    def assert_books_balance(self) -> None:
        """Every journal of every region sums to zero per currency and phase."""
        for region in (FIRST, SECOND):
            for journal in self.items("ledger", region):
                sums: dict[tuple[str, str], int] = {}
                for entry in journal["entries"]:
                    key = entry["currency"], entry["phase"]
                    sums[key] = sums.get(key, 0) + int(entry["amount"]) * (1 if entry["side"] == "debit" else -1)
                assert set(sums.values()) == {0}, (region, journal)

    def saga_states(self, payment_id: str, region: str) -> list[str]:
        """The states the saga run that made this payment went through."""
        attempt = self.stored_payment(payment_id, region)["attempt"]
        machines = self.aws("stepfunctions", region)
        machine = next(m for m in machines.list_state_machines()["stateMachines"] if "charge" in m["name"])
        runs = machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
        run = next(run for run in runs if attempt in run["executionArn"])
        history = machines.get_execution_history(executionArn=run["executionArn"], maxResults=1000)["events"]
        return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]

    @contextmanager
    def broken(self, function: str, code: str, region: str):
        """Runs a function with faulty code in place of its handler; `real` in that code is the true handler."""
        functions = self.aws("lambda", region)
        configuration = functions.get_function(FunctionName=function)
        original, handler = _download(configuration["Code"]["Location"]), configuration["Configuration"]["Handler"]
        module, entry = handler.rsplit(".", 1)
        faulty = f"from {module.replace('/', '.')} import {entry} as real\n{code}"
        functions.update_function_code(FunctionName=function, ZipFile=_with_file(original, f"{FAULT}.py", faulty))
        functions.update_function_configuration(FunctionName=function, Handler=f"{FAULT}.handler")
        try:
            yield
        finally:
            functions.update_function_code(FunctionName=function, ZipFile=original)
            functions.update_function_configuration(FunctionName=function, Handler=handler)

    @contextmanager
    def unable_to_publish(self, region: str):
        """Makes the saga's publishing step fail: EventBridge takes ten entries at once, this sends eleven."""
        machines = self.aws("stepfunctions", region)
        machine = next(m for m in machines.list_state_machines()["stateMachines"] if "charge" in m["name"])
        original = machines.describe_state_machine(stateMachineArn=machine["stateMachineArn"])["definition"]
        definition = json.loads(original)
        publish = definition["States"]["PublishAuthorized"]["Parameters"]
        publish["Entries"] = publish["Entries"] * 11
        machines.update_state_machine(stateMachineArn=machine["stateMachineArn"], definition=json.dumps(definition))
        try:
            yield
        finally:
            machines.update_state_machine(stateMachineArn=machine["stateMachineArn"], definition=original)

    @contextmanager
    def messages_lost(self, queue: str, region: str):
        """Loses what is sent to a worker's queue: nobody reads it, and at the end it is purged."""
        functions, sqs = self.aws("lambda", region), self.aws("sqs", region)
        (source,) = functions.list_event_source_mappings(FunctionName=queue)["EventSourceMappings"]
        url, count = sqs.get_queue_url(QueueName=queue)["QueueUrl"], "ApproximateNumberOfMessages"
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
        try:
            yield
            until(
                lambda: int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[count])["Attributes"][count]),
                20,
                f"messages in {queue}",
            )
            sqs.purge_queue(QueueUrl=url)
        finally:
            functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)

    def waiting_since(self, payment_id: str, since: str, region: str) -> None:
        """Lets a payment that waits for the card network have waited since then."""
        self.aws("dynamodb", region).update_item(
            TableName="payments",
            Key={"payment_id": {"S": payment_id}},
            UpdateExpression="SET pending_since = :since",
            ConditionExpression="attribute_exists(pending_bucket)",
            ExpressionAttributeValues={":since": {"S": since}},
        )


def _download(location: str) -> bytes:
    return httpx.get(location, trust_env=False, timeout=30).raise_for_status().content


def _with_file(archive: bytes, name: str, content: str) -> bytes:
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as bundle:
        bundle.writestr(name, content)
    return buffer.getvalue()


def names_of(journals: Iterable[dict[str, Any]]) -> list[str]:
    """Ids of journals; of the first one without the request that it names."""
    return [re.sub("^authorization#[0-9a-f]{16}$", "authorization", journal["journal_id"]) for journal in journals]


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


__all__ = ["FIRST", "SECOND", "Cloud", "new_key", "time", "until"]
