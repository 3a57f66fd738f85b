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
_ROUNDS = 3
"""A card that was copied from the other region during a walk may still be under the older key."""

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
        """Announces a new `token` or `sealing` key, current in `lead_s` seconds, and waits until every region has it.

        Raises `Refused` if one has not when its time comes.
        """
        shown = self._keys(do="rotate", key=key, lead_s=lead_s)
        newest = shown[key][-1]
        self._await_arrival(f"{key}#{newest['version']}", newest["current_from"])
        return shown

    def rotate_kek(self, to: int | None = None, lead_s: int = LEAD_SECONDS) -> None:
        """Makes the next version of the key-encryption key, or version `to`, current, and encrypts every card anew.

        Raises `Refused` if a region's key store lacks the key, or has another one of that version, or if at the end
        something is still under an older one.
        """
        ring = self._keys(do="show")["kek"]
        version = to or (ring["next"] or {"version": ring["version"] + 1})["version"]
        self._report(f"the key-encryption key is to be version {version}; to go on after a stop: --to {version}")
        if version == ring["version"] + 1:
            self._keys(do="create_kek")
        value = self._shared_check_value(version)
        shown = self._keys(do="activate_kek", version=version, check_value=value, lead_s=lead_s)["kek"]
        current_from = (shown["next"] or {"current_from": int(time.time())})["current_from"]
        self._await_arrival(f"kek#{version}", current_from)
        self._wait(current_from + SETTLING_SECONDS + 1 - time.time(), "until everybody uses it")
        for number in range(_ROUNDS):
            job = f"rewrap-kek-{version}" + (f"-{int(time.time())}-{number}" if number else "")
            for progress in self._walk("rewrap", job, kek_version=version):
                self._report(str(progress))
            if not self._left(version, number):
                self._check_ring(version)
                return
        raise Refused(
            f"some cards are still under an older key than version {version}. Those counted as refused or without_key "
            f"do not open: `payments vault repair` drops them. Then run this again with --to {version}"
        )

    def repair(self, job: str) -> None:
        """Mends what crashes and lost messages leave behind, in every region (functions/vault/walk.py)."""
        for task in ("repair", "sweep_keys"):
            for progress in self._walk(task, f"{task.replace('_', '-')}-{job}"):
                self._report(f"{task}: {progress}")

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
        for progress in self._walk("shred_merchant", job, merchant_id=merchant_id):
            self._report(str(progress))

    def _walk(
        self, task: str, job: str, merchant_id: str | None = None, kek_version: int | None = None
    ) -> Iterator[Progress]:
        """Page after page, region after region."""
        asked = {"task": task, "job": job, "merchant_id": merchant_id, "kek_version": kek_version, "limit": _PAGE}
        for region in REGIONS:
            done = False
            while not done:
                progress = Progress(region, **self._invoke("walk", region, asked))
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

    def _await_arrival(self, name: str, current_from: int) -> None:
        """Waits until a key of the ring is in every region."""
        while missing := [region for region in REGIONS if name not in self._check(region)["ring"]]:
            if time.time() > current_from:
                raise Refused(f"{name} has not arrived in {', '.join(missing)}, and is current: is replication behind?")
            self._wait(1, f"for {name} in {', '.join(missing)}")

    def _wait(self, seconds: float, what: str) -> None:
        if seconds > 0:
            self._report(f"waiting {seconds:.0f} s {what}")
            self._sleep(seconds)

    def _left(self, version: int, number: int) -> int:
        """How many cards are under another version, after a walk and after what it did has been replicated."""
        self._wait(SETTLING_SECONDS / 6, "for replication")
        left = 0
        for progress in self.census(f"census-kek-{version}-{number}-{int(time.time())}").values():
            self._report(str(progress))
            older = (n for name, n in progress.counts.items() if name.startswith("kek_") and name != f"kek_{version}")
            left += sum(older)
        return left

    def _check_ring(self, version: int) -> None:
        ring = self._keys(do="show")
        older = [key for kind in ("token", "sealing") for key in ring[kind] if key["kek_version"] < version]
        if older:
            raise Refused(f"keys of the ring are still under an older version, run this again with --to {version}")
        self._report(f"everything is under version {version}: the older ones may be destroyed (docs/cloudhsm.md)")

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
