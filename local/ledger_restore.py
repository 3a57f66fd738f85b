"""Puts journals from the archive back into a table, after it was lost or some of it was.

Each journal is put only where there is none; what is there is compared, never replaced. So it may be stopped, repeated,
and run on a table that is in use.
"""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice

from boto3.dynamodb.types import TypeSerializer

from local.ledger import Read, Refused, Region
from local.ledger_archive import Archive, Chain, Finding

_AT_A_TIME = 256
_WRITERS = 16


class Restoration:
    """From the archives of some regions into a table of one region. `counts` and `findings` say what it came to."""

    def __init__(self, origins: list[Region], target: Region, table: str):
        self._origins, self._target, self._table = origins, target, table
        self._serializer = TypeSerializer()
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []

    def check(self) -> None:
        """Follows every chain first. Raises `Refused` when one is not in order; `findings` says where."""
        for _ in self._sealed():
            pass
        if self.findings:
            raise Refused(
                "nothing was restored: the archive is not in order. With --anyway all batches are used that are what "
                "they say, also those behind a broken link"
            )

    def run(self) -> Iterator[Finding]:
        """Restores, also what waits in the feeds; yields the journals that the table has otherwise."""
        self.findings.clear()
        journals = chain(self._sealed(), *(self._waiting(region) for region in self._origins))
        with ThreadPoolExecutor(_WRITERS) as pool:
            while some := list(islice(journals, _AT_A_TIME)):
                for text, result in zip(some, pool.map(self._put, some), strict=True):
                    self.counts[result] += 1
                    if result == "differ":
                        yield Finding("differs", Read.of_text(text).name, f"{self._table} has another journal")
                    if result == "unreadable":
                        yield Finding("unreadable", text[:80], "what was sealed is no journal")

    def _sealed(self) -> Iterator[str]:
        """The journals of all chains, in canonical form."""
        for region in self._origins:
            archive, heads = Archive(region), region.heads()
            for shard in sorted(archive.shards() | set(heads)):
                link = Chain(archive, shard)
                for found in link.follow():
                    if isinstance(found, Finding):
                        self.findings.append(found)
                    else:
                        yield from found.journals
                if heads:  # the table proofs may be lost as well
                    self.findings += [found for found in link.compared(heads.get(shard)) if found.what != "beyond"]

    def _waiting(self, region: Region) -> Iterator[str]:
        for texts in region.feed():
            yield from texts

    def _put(self, text: str) -> str:
        """`restored`, `there`, `written twice` (the other region's copy is there), `differ`, or `unreadable`."""
        try:
            wanted = Read.of_text(text)
            item = {name: self._serializer.serialize(value) for name, value in json.loads(text).items()}
        except (ValueError, TypeError):
            return "unreadable"
        dynamodb = self._target.dynamodb
        try:
            dynamodb.put_item(TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(payment_id)")
        except dynamodb.exceptions.ConditionalCheckFailedException:
            key = {name: item[name]["S"] for name in ("payment_id", "journal_id")}
            standing = Read.of_item(self._target.get(self._table, **key) or {})
            if standing.leaf == wanted.leaf:
                return "there"
            twice = standing.essence == wanted.essence and standing.region != wanted.region
            return "written twice" if twice else "differ"
        return "restored"
