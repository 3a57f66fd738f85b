"""AWS list prices, the assumptions about durations, and what a count of operations costs. Pure values, no AWS.

Prices are list prices of us-east-1 in US dollars, of the first tier, without free tiers and discounts, as known to the
author, not looked up: check them against aws.amazon.com/…/pricing before deciding by them. At 200,000 charges a second
nearly all of API Gateway, and much of Lambda and Step Functions, falls into cheaper tiers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Dollars per million.
API_REQUEST = 3.50
"""API Gateway, REST API. (Beyond 20 billion a month: 1.51.)"""
FIREWALL_REQUEST = 0.60
"""WAF, requests looked at by a web ACL."""
LAMBDA_REQUEST = 0.20
EXPRESS_REQUEST = 1.00
"""Step Functions Express; state transitions are not charged."""
EVENT = 1.00
"""EventBridge, custom events put on a bus, per 64 KB. Delivery to a queue in the same account is free."""
QUEUE_REQUEST = 0.40
"""SQS, standard queue, per 64 KB; a batch is one request."""
WRITE_UNIT = 0.625
"""DynamoDB on demand, 1 KB; a replicated unit of a global table costs the same, in every region that has the table."""
READ_UNIT = 0.125
"""DynamoDB on demand, 4 KB strongly consistent; half of it when eventually consistent."""
STREAM_READ = 0.0
"""GetRecords by Lambda's event source and by global tables is not charged."""
TRACE = 5.00
"""X-Ray, traces recorded."""

# Dollars per other units.
LAMBDA_GB_SECOND = 0.0000133334
"""arm64."""
EXPRESS_GB_SECOND = 0.00001667
LOG_GB = 0.50
"""CloudWatch Logs, ingestion; access logs of API Gateway the same."""
TRANSFER_GB = 0.02
"""From us-east-1 to us-west-2, which replication pays."""

# Units of DynamoDB.
WRITE_BYTES, READ_BYTES = 1024, 4096
TRANSACTION_UNITS = 2
"""An item written in a transaction is written twice: prepared, committed."""
REPLICA_UNITS = 1
"""It arrives in the other region as a plain write: global tables replicate item by item. (If AWS doubles the units of
a transaction there too, add 4 units, $2.50 a million.)"""
REGIONS = 2

ASSUMED_MS = {
    "payments-authorizer": 8,
    "payments-vault-tokenize": 12,
    "payments-fraud": 15,
    "payments-ledger": 12,
    "payments-api": 85,
    "payments-network": 390,
    "payments-vault-detokenize": 10,
    "payments-webhooks-fanout": 15,
    "payments-webhooks-deliver": 100,
    "payments-projector": 20,
}
"""Warm durations on AWS, per charge and not per batch (the workers handle a batch's messages one after another), except
the projector's, which is per batch. They are assumed, not measured: about 5 ms per DynamoDB call plus the CPU; the api
waits for the saga, the network worker for the card network (350 ms), the delivery for the merchant (90 ms)."""
ASSUMED_SAGA_MS = 65
"""Three functions and an event one after another. Billed in steps of 100 ms and 64 MB."""
ASSUMED_ACCESS_LOG_BYTES = 450
ASSUMED_TRACED = 0.05
"""X-Ray's default sampling: one request a second and 5 % of the rest."""


@dataclass(frozen=True)
class Line:
    """One kind of operation: how often per charge, in dollars per million operations; `assumed` when not counted."""

    operation: str
    alone: float
    """Times per charge, of charges that come one by one: every batch is a batch of one. As counted."""
    loaded: float
    """The same under load: full batches."""
    price: float
    assumed: bool = False

    def dollars(self, loaded: bool = False) -> float:
        """Dollars per million charges."""
        return (self.loaded if loaded else self.alone) * self.price

    def as_json(self) -> dict[str, Any]:
        """The line for other programs."""
        return {
            "operation": self.operation,
            "per_charge": round(self.alone, 4),
            "per_charge_loaded": round(self.loaded, 4),
            "dollars_per_million_operations": self.price,
            "dollars_per_million_charges": round(self.dollars(), 4),
            "dollars_per_million_charges_loaded": round(self.dollars(True), 4),
            "assumed": self.assumed,
        }


def total(lines: Iterable[Line], loaded: bool = False, assumed: bool = False) -> float:
    """Dollars per million charges of the counted lines; with `assumed`, of all of them."""
    return sum(line.dollars(loaded) for line in lines if assumed or not line.assumed)


def write_units(size: int) -> int:
    """Units of a plain write of an item of this many bytes."""
    return max(1, math.ceil(size / WRITE_BYTES))


def read_units(size: int, consistent: bool = False) -> float:
    """Units of a read that looks at this many bytes; an item that is not there costs as much as a small one."""
    return max(1, math.ceil(size / READ_BYTES)) * (1.0 if consistent else 0.5)


def lambda_line(function: str, memory_mb: int, alone: float, loaded: float) -> Line:
    """The assumed duration of a function that runs so often per charge."""
    dollars = ASSUMED_MS[function] / 1000 * memory_mb / 1024 * LAMBDA_GB_SECOND * 1e6
    name = f"Lambda duration, {function} ({ASSUMED_MS[function]} ms, {memory_mb} MB)"
    return Line(name, alone, loaded, dollars, assumed=True)


def saga_line() -> Line:
    """The assumed duration of the saga: 64 MB, rounded up to 100 ms."""
    dollars = math.ceil(ASSUMED_SAGA_MS / 100) / 10 * 64 / 1024 * EXPRESS_GB_SECOND * 1e6
    return Line(f"Express duration ({ASSUMED_SAGA_MS} ms)", 1, 1, dollars, assumed=True)


def gigabytes_line(operation: str, size: float, dollars_per_gb: float) -> Line:
    """Something paid by the gigabyte, `size` bytes of it per charge."""
    return Line(f"{operation} ({size:.0f} bytes)", 1, 1, size / 1e9 * dollars_per_gb * 1e6, assumed=True)


def item_size(item: dict[str, dict[str, Any]]) -> int:
    """Bytes of an item in DynamoDB's typed form (Developer Guide, "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_size(content)
        case "B":
            return len(content)
        case "SS" | "NS" | "BS":
            return sum(_value_size({kind[0]: member}) for member in content)
        case "L":
            return 3 + sum(1 + _value_size(member) for member in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_size(inner) for name, inner in content.items())
        case _:
            return 1


def _number_size(text: str) -> int:
    """A byte for two significant digits, one more, and one for a sign."""
    digits = text.lstrip("-").replace(".", "").strip("0")
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")
