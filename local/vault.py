"""What an operator does to the vault, in the local cloud or in AWS: keys, rotation, shredding.

Each step is an invocation of one of the vault's own functions; nothing here ever sees a key or a card. Every operation
may be stopped and started again.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.settings import REGIONS

LEAD_SECONDS = 60
"""How far ahead a new key is announced by default."""

SETTLING_SECONDS = 30
"""How long after a new key has become current nobody writes under the old one any more (functions/vault/ring.py)."""

_PAGE = 500

Report = Callable[[str], None]
Lambda = Callable[[str], Any]


class Refused(Exception):
    """The vault did not do as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Progress:
    """How far a walk over a region's cards has come."""

    region: str
    seen: int
    changed: int
    counts: dict[str, int]
    done: bool

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
        return f"{self.region}: {self.seen} cards seen, {self.changed} changed{' (' + counts + ')' if counts else ''}"


class Vault:
    """The vaults of all regions; `clients` makes a Lambda client for a region."""

    def __init__(self, clients: Lambda, report: Report, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clients = {region: clients(region) for region in REGIONS}
        self._report = report
        self._sleep = sleep

    def provision(self) -> dict[str, Any]:
        """Makes the vault's keys where they are absent."""
        return self._keys(do="provision")

    def status(self) -> dict[str, Any]:
        """The key ring, and which key-encryption keys each region's key store has."""
        return {"ring": self._keys(do="show"), "key stores": {region: self._check(region) for region in REGIONS}}

    def rotate(self, key: str, lead_s: int = LEAD_SECONDS) -> dict[str, Any]:
        """Announces a new `token` or `sealing` key, current in `lead_s` seconds."""
        return self._keys(do="rotate", key=key, lead_s=lead_s)

    def rotate_kek(self, to: int | None = None, lead_s: int = LEAD_SECONDS) -> None:
        """Makes the next version of the key-encryption key, or version `to`, current, and encrypts every card anew.

        Raises `Refused` if a region's key store lacks the key, or has another one of that version.
        """
        ring = self._keys(do="show")["kek"]
        version = to or (ring["next"] or {"version": ring["version"] + 1})["version"]
        self._report(f"the key-encryption key is to be version {version}; to go on after a stop: --to {version}")
        if version == ring["version"] + 1:
            self._keys(do="create_kek")
        value = self._shared_check_value(version)
        shown = self._keys(do="activate_kek", version=version, check_value=value, lead_s=lead_s)["kek"]
        self._await_current(shown)
        for progress in self._walk("rewrap", f"rewrap-kek-{version}"):
            self._report(str(progress))
        self._check_none_left(version)

    def census(self, job: str) -> dict[str, Progress]:
        """How many cards there are, by use and by key version, per region."""
        return {progress.region: progress for progress in self._walk("census", job)}

    def shred(self, token: str, merchant_id: str) -> dict[str, Any]:
        """Destroys one merchant's card in every region; what each region says."""
        return {
            region: self._invoke("shred", region, {"token": token, "merchant_id": merchant_id}) for region in REGIONS
        }

    def shred_merchant(self, merchant_id: str, job: str) -> None:
        """Destroys all of a merchant's cards in every region. A job of the same name goes on where it was."""
        for progress in self._walk("shred_merchant", job, merchant_id):
            self._report(str(progress))

    def _walk(self, task: str, job: str, merchant_id: str | None = None) -> Iterator[Progress]:
        """Page after page, region after region."""
        for region in REGIONS:
            done = False
            while not done:
                event = {"task": task, "job": job, "merchant_id": merchant_id, "limit": _PAGE}
                progress = Progress(region, **self._invoke("walk", region, event))
                done = progress.done
                yield progress

    def _shared_check_value(self, version: int) -> str:
        values = {region: self._check(region)["versions"].get(str(version)) for region in REGIONS}
        first = values[REGIONS[0]]
        if first is None or set(values.values()) != {first}:
            lacking = ", ".join(region for region, value in values.items() if value != first or value is None)
            raise Refused(
                f"version {version} of the key-encryption key is not the same in every region's key store ({lacking}): "
                "copy it there (docs/cloudhsm.md), then run this again"
            )
        return str(first)

    def _await_current(self, kek: dict[str, Any]) -> None:
        since = (kek["next"] or {"current_from": 0})["current_from"] + SETTLING_SECONDS
        wait = since - time.time() + 1 if kek["next"] else SETTLING_SECONDS + 1
        if wait > 0:
            self._report(f"waiting {wait:.0f} s until everybody uses it")
            self._sleep(wait)

    def _check_none_left(self, version: int) -> None:
        found = self.census(f"census-kek-{version}-{int(time.time())}")
        for progress in found.values():
            self._report(str(progress))
            left = sum(n for name, n in progress.counts.items() if name.startswith("kek_") and name != f"kek_{version}")
            if left:
                raise Refused(f"{left} cards in {progress.region} are still under an older key: see the walk's log")
        self._report(f"every card is under version {version}: the older ones may be destroyed (docs/cloudhsm.md)")

    def _keys(self, **event: Any) -> dict[str, Any]:
        return self._invoke("keys", REGIONS[0], event)

    def _check(self, region: str) -> dict[str, Any]:
        return self._invoke("key-check", region, {})

    def _invoke(self, function: str, region: str, event: dict[str, Any]) -> dict[str, Any]:
        name = f"payments-vault-{function}"
        answer = self._clients[region].invoke(FunctionName=name, Payload=json.dumps(event))
        content = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Refused(f"{name} in {region}: {content.get('errorMessage', content)}")
        found: dict[str, Any] = content
        return found
