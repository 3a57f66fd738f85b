"""What the simulated card network has recorded: authorizations, what was done with them, and every request.

Append-only, in one file of SQLite, where an audit can read it after everything was killed.
"""

import sqlite3
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

_SCHEMA = """
CREATE TABLE IF NOT EXISTS authorizations (
    network_ref TEXT PRIMARY KEY, amount INTEGER NOT NULL, currency TEXT NOT NULL, capture INTEGER NOT NULL,
    token TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL, code TEXT, authorization_code TEXT,
    at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS operations (
    operation_ref TEXT PRIMARY KEY, network_ref TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, status TEXT NOT NULL, code TEXT, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS operations_of ON operations (network_ref);
CREATE TABLE IF NOT EXISTS requests (
    network_ref TEXT NOT NULL, amount INTEGER NOT NULL, result TEXT NOT NULL, at TEXT NOT NULL,
    operation_ref TEXT);
"""
_CONTENT = ("network_ref", "kind", "amount", "currency")


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
        with self._transaction():
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
        """The operation under this reference, done now if it is new. Raises `ReferenceReused` or `Refused`.

        What is released (`void`) and what is captured are at most what was authorized, in whatever order they come;
        what is refunded is at most what was captured.
        """
        with self._transaction():
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

    def find(self, reference: str) -> dict[str, Any] | None:
        """The authorization with this reference."""
        return self._row("SELECT * FROM authorizations WHERE network_ref = ?", reference)

    def operation(self, reference: str) -> dict[str, Any] | None:
        """The operation with this reference."""
        return self._row("SELECT * FROM operations WHERE operation_ref = ?", reference)

    def listing(self) -> dict[str, Any]:
        """Everything, for audits: authorizations, how many, what was done with them, and how many requests came."""
        authorizations, operations, requests = (
            [dict(row) for row in self._database.execute(f"SELECT * FROM {table} ORDER BY rowid")]
            for table in ("authorizations", "operations", "requests")
        )
        asked = len([request for request in requests if request["operation_ref"]])
        return {
            "count": len(authorizations),
            "requests": len(requests) - asked,
            "data": authorizations,
            "operations": operations,
            "operation_requests": asked,
        }

    def _against(self, order: Mapping[str, Any]) -> str | None:
        """What speaks against a new operation."""
        held = self.find(order["network_ref"])
        if held is None or held["status"] != "approved":
            return "there is no such approved authorization"
        if held["currency"] != order["currency"]:
            return "the authorization is in another currency"
        done = self._done(order["network_ref"])
        captured = held["amount"] if held["capture"] else done.get("capture", 0)
        refund = order["kind"] == "refund"
        left = captured - done.get("refund", 0) if refund else held["amount"] - captured - done.get("void", 0)
        return None if order["amount"] <= left else f"the authorization has no more than {left} left for this"

    def _done(self, reference: str) -> dict[str, int]:
        """The accepted amount of each kind of operation of an authorization."""
        rows = self._database.execute(
            "SELECT kind, sum(amount) FROM operations WHERE network_ref = ? AND status = 'accepted' GROUP BY kind",
            (reference,),
        )
        return {kind: amount for kind, amount in rows}  # noqa: C416 - rows, not pairs

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
        self._append("authorizations", made)
        return made

    def _operated(self, order: Mapping[str, Any]) -> dict[str, Any]:
        declined = order["kind"] == "refund" and order["amount"] % 100 == REFUND_DECLINED
        made = {
            **{name: order[name] for name in ("operation_ref", *_CONTENT)},
            "status": "declined" if declined else "accepted",
            "code": "refund_declined" if declined else None,
            "at": _now(),
        }
        self._append("operations", made)
        return made

    def _requested(self, order: Mapping[str, Any], result: str) -> None:
        request = {"network_ref": order["network_ref"], "amount": order["amount"], "result": result, "at": _now()}
        self._append("requests", request | {"operation_ref": order.get("operation_ref")})

    def _append(self, table: str, row: Mapping[str, Any]) -> None:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))

    def _row(self, query: str, reference: str) -> dict[str, Any] | None:
        row = self._database.execute(query, (reference,)).fetchone()
        return dict(row) if row else None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One request at a time: looking and recording are one step."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
