"""What the simulated card network has recorded: authorizations, what was done with them, disputes, and every request.

Append-only, in one file of SQLite, where an audit can read it after everything was killed.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

OUTCOMES = {5: "card_declined", 51: "insufficient_funds", 91: "issuer_unavailable"}
"""What declines an authorization, by the last two digits of its amount."""

REFUND_DECLINED = 7
"""The last two digits of a refund that is declined."""

EXCEEDED = "amount_exceeded"
"""Why an operation is declined that asks for more than the authorization has left for it, whatever is left later."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS authorizations (
    network_ref TEXT PRIMARY KEY, amount INTEGER NOT NULL, currency TEXT NOT NULL, capture INTEGER NOT NULL,
    token TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL, code TEXT, authorization_code TEXT,
    at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS operations (
    operation_ref TEXT PRIMARY KEY, network_ref TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, status TEXT NOT NULL, code TEXT, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS operations_of ON operations (network_ref);
CREATE TABLE IF NOT EXISTS disputes (
    case_ref TEXT NOT NULL, kind TEXT NOT NULL, network_ref TEXT NOT NULL, amount INTEGER NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (case_ref, kind));
CREATE INDEX IF NOT EXISTS disputes_of ON disputes (network_ref);
CREATE TABLE IF NOT EXISTS requests (
    network_ref TEXT NOT NULL, amount INTEGER NOT NULL, result TEXT NOT NULL, at TEXT NOT NULL,
    operation_ref TEXT);
"""
_CONTENT = ("network_ref", "kind", "amount", "currency")
_DISPUTE = ("case_ref", "kind", "network_ref", "amount", "reason")


class ReferenceReused(Exception):
    """The reference was used before with another content."""


class Refused(Exception):
    """The authorization does not allow the operation; the message says why."""


class Book:
    """The network's append-only record."""

    def __init__(self, file: Path):
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _SCHEMA)
        self._lock = Lock()
        file.chmod(0o600)

    def authorize(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The authorization under this reference, made now if it is new. Raises `ReferenceReused`."""
        reference, amount = order["network_ref"], order["amount"]
        with self.transaction():
            held = self.find(reference)
            if held is None:
                self._requested(order, "new")
                return self._authorized(order)
            same = (held["amount"], held["currency"]) == (amount, order["currency"])
            self._requested(order, "repeated" if same else "conflict")
        if not same:
            raise ReferenceReused(reference)
        return held

    def operate(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The operation under this reference, done or declined now if it is new. Raises `ReferenceReused`, or `Refused`
        where there is nothing that it could be an operation of.

        What is released (`void`) and what is captured are at most what was authorized, in whatever order they come;
        what is refunded is at most what was captured. The operation that asks for more is declined for good.
        """
        with self.transaction():
            held = self.operation(order["operation_ref"])
            reason = None if held else self._against(order)
            same = held is not None and all(held[name] == order[name] for name in _CONTENT)
            result = "refused" if reason else "new" if held is None else "repeated" if same else "conflict"
            self._requested(order, result)
            if held is None and not reason:
                return self._operated(order)
        if reason:
            raise Refused(reason)
        if held is None or not same:
            raise ReferenceReused(order["operation_ref"])
        return held

    def dispute(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What a cardholder's bank takes back (`chargeback`) or gives again (`representment`), recorded once per case.

        Raises `ReferenceReused`, or `Refused` when it is more than was captured, or was charged back.
        """
        with self.transaction():
            held = self._row("SELECT * FROM disputes WHERE case_ref = ? AND kind = ?", order["case_ref"], order["kind"])
            if held is None:
                reason = self._against_dispute(order)
                if reason:
                    raise Refused(reason)
                held = {name: order[name] for name in _DISPUTE} | {"at": _now()}
                self.append("disputes", held)
        if any(held[name] != order[name] for name in _DISPUTE):
            raise ReferenceReused(order["case_ref"])
        return held

    def find(self, reference: str) -> dict[str, Any] | None:
        """The authorization with this reference."""
        return self._row("SELECT * FROM authorizations WHERE network_ref = ?", reference)

    def operation(self, reference: str) -> dict[str, Any] | None:
        """The operation with this reference."""
        return self._row("SELECT * FROM operations WHERE operation_ref = ?", reference)

    def listing(self) -> dict[str, Any]:
        """Everything, for audits: authorizations, how many, what was done with them, and how many requests came."""
        authorizations, operations, disputes, requests = (
            self.rows(f"SELECT * FROM {table} ORDER BY rowid")
            for table in ("authorizations", "operations", "disputes", "requests")
        )
        asked = len([request for request in requests if request["operation_ref"]])
        return {
            "count": len(authorizations),
            "requests": len(requests) - asked,
            "data": authorizations,
            "operations": operations,
            "disputes": disputes,
            "operation_requests": asked,
        }

    def _against(self, order: Mapping[str, Any]) -> str | None:
        """What speaks against a new operation."""
        held = self.find(order["network_ref"])
        if held is None or held["status"] != "approved":
            return "there is no such approved authorization"
        if held["currency"] != order["currency"]:
            return "the authorization is in another currency"
        return None

    def _left(self, order: Mapping[str, Any]) -> int:
        """What the authorization has left for an operation of this kind."""
        held, done = self.find(order["network_ref"]), self._done(order["network_ref"])
        assert held
        captured = _captured(held, done)
        if order["kind"] == "refund":
            return captured - done["refund"]
        return int(held["amount"]) - captured - done["void"]

    def _against_dispute(self, order: Mapping[str, Any]) -> str | None:
        """What speaks against a new chargeback or representment. A chargeback does not ask what was refunded."""
        held = self.find(order["network_ref"])
        if held is None or held["status"] != "approved":
            return "there is no such approved authorization"
        if order["kind"] == "chargeback":
            done = self._done(order["network_ref"])
            left = _captured(held, done) - done["chargeback"] + done["representment"]
            return None if order["amount"] <= left else f"no more than {left} is captured and not charged back"
        taken = self._row("SELECT * FROM disputes WHERE case_ref = ? AND kind = 'chargeback'", order["case_ref"])
        if taken is None or taken["network_ref"] != order["network_ref"]:
            return "there is no such chargeback of this authorization"
        return None if order["amount"] <= taken["amount"] else f"no more than {taken['amount']} was charged back"

    def _done(self, reference: str) -> Counter[str]:
        """The accepted amount of each kind of operation and dispute of an authorization."""
        done: Counter[str] = Counter()
        for row in self.rows(
            "SELECT kind, amount FROM operations WHERE network_ref = ? AND status = 'accepted' "
            "UNION ALL SELECT kind, amount FROM disputes WHERE network_ref = ?",
            *(reference, reference),
        ):
            done[row["kind"]] += row["amount"]
        return done

    def _authorized(self, order: Mapping[str, Any]) -> dict[str, Any]:
        code = OUTCOMES.get(order["amount"] % 100)
        reference = order["network_ref"]
        made = {
            **{name: order[name] for name in ("network_ref", "amount", "currency", "capture", "token", "network")},
            "status": "declined" if code else "approved",
            "code": code,
            "authorization_code": None if code else sha256(reference.encode()).hexdigest()[:6].upper(),
            "at": _now(),
        }
        self.append("authorizations", made)
        return made

    def _operated(self, order: Mapping[str, Any]) -> dict[str, Any]:
        exceeded = order["amount"] > self._left(order)
        by_its_cents = order["kind"] == "refund" and order["amount"] % 100 == REFUND_DECLINED
        code = EXCEEDED if exceeded else "refund_declined" if by_its_cents else None
        made = {
            **{name: order[name] for name in ("operation_ref", *_CONTENT)},
            "status": "declined" if code else "accepted",
            "code": code,
            "at": _now(),
        }
        self.append("operations", made)
        return made

    def _requested(self, order: Mapping[str, Any], result: str) -> None:
        request = {"network_ref": order["network_ref"], "amount": order["amount"], "result": result, "at": _now()}
        self.append("requests", request | {"operation_ref": order.get("operation_ref")})

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row, within a `transaction`."""
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))

    def create(self, schema: str) -> None:
        """Add tables of another module to the record."""
        self._database.executescript(schema)

    def rows(self, query: str, *values: str) -> list[dict[str, Any]]:
        """What a query finds."""
        return [dict(row) for row in self._database.execute(query, values)]

    def _row(self, query: str, *values: str) -> dict[str, Any] | None:
        found = self.rows(query, *values)
        return found[0] if found else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One request at a time: looking and recording are one step."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _captured(held: Mapping[str, Any], done: Counter[str]) -> int:
    return int(held["amount"]) if held["capture"] else done["capture"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
