"""The archive of one region: chains of batches in a bucket where nothing can be deleted, and how they are followed.

What the notary writes it writes once. So an object with a second version, or with a delete marker over it, was touched
by somebody else; the first version that fits the chain is then the one that counts.
"""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice

from botocore.exceptions import ClientError

from local.ledger import Head, Refused, Region
from payments import proofs
from payments.proofs import GENESIS, Batch, InvalidBatch

_AHEAD = 16
"""Objects that are fetched at the same time; each is a few megabytes at most."""

_KEY = re.compile(r"journals/[a-z0-9-]+/\d{3}/(\d{12})\.json\.gz")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: what in a word, which journal or batch, and a sentence."""

    what: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.what}: {self.name}: {self.text}"


@dataclass(frozen=True)
class Stored:
    """An object of the archive with the ids of its versions, the newest first."""

    key: str
    versions: tuple[str, ...]
    deleted: bool
    """A delete marker hides it."""

    @property
    def number(self) -> int:
        """The number in its name; 0 when it is no batch's name."""
        match = _KEY.fullmatch(self.key)
        return int(match[1]) if match else 0


class Archive:
    """The bucket of a region."""

    def __init__(self, region: Region):
        self.region = region.name
        self._s3, self._bucket = region.s3, region.bucket

    def shards(self) -> set[int]:
        """The shards that have, or had, a batch."""
        prefix = f"journals/{self.region}/"
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        names = {found["Prefix"].split("/")[2] for page in pages for found in page.get("CommonPrefixes", [])}
        return {int(name) for name in names if name.isdecimal()}

    def objects(self, shard: int, after: int = 0) -> Iterator[Stored]:
        """The chain's objects after a number, in the order of their names."""
        prefix = proofs.prefix(self.region, shard)
        marker = f"{prefix}{after:012d}.json.gz" if after else ""
        since = {"KeyMarker": marker} if marker else {}
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix, **since)
        rows = (
            row
            for page in pages
            for row in sorted([*page.get("Versions", []), *page.get("DeleteMarkers", [])], key=lambda row: row["Key"])
            if row["Key"] != marker  # some servers begin with the marker itself
        )
        for key, group in groupby(rows, key=lambda row: row["Key"]):
            versions = sorted(group, key=lambda row: (row["IsLatest"], row["LastModified"]), reverse=True)
            contents = tuple(row["VersionId"] for row in versions if "Size" in row)
            yield Stored(key, contents, "Size" not in versions[0])

    def contents(self, shard: int, after: int = 0) -> Iterator[tuple[Stored, list[bytes]]]:
        """The same with the contents of their versions, read ahead."""
        objects = self.objects(shard, after)
        with ThreadPoolExecutor(_AHEAD) as pool:
            while some := list(islice(objects, _AHEAD)):
                yield from zip(some, pool.map(self._versions, some), strict=True)

    def batch(self, shard: int, number: int) -> Batch:
        """One batch. Raises `Refused` when it is not there or not what it says."""
        key = f"{proofs.prefix(self.region, shard)}{number:012d}.json.gz"
        try:
            found = proofs.parse(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            raise Refused(f"{key} is not in {self._bucket}: payments ledger verify") from None
        except InvalidBatch as error:
            raise Refused(f"{key}: {error}: payments ledger verify") from None
        if found.key != key:
            raise Refused(f"{key} holds another batch: payments ledger verify")
        return found

    def newest(self, shard: int, head: Head) -> Batch:
        """The batch that the head names. Raises `Refused` when it is another one."""
        found = self.batch(shard, head.number)
        if found.hash != head.hash:
            raise Refused(f"{found.key} is not what the head in the table proofs names: payments ledger verify")
        return found

    def _versions(self, stored: Stored) -> list[bytes]:
        return [
            self._s3.get_object(Bucket=self._bucket, Key=stored.key, VersionId=version)["Body"].read()
            for version in stored.versions
        ]


class Chain:
    """One chain, followed from its first batch, and followed on when the notary has added to it.

    `known` are hashes that somebody noted, by number: the auditor's anchors.
    """

    def __init__(self, archive: Archive, shard: int, known: Mapping[int, str] | None = None):
        self._archive, self.shard = archive, shard
        self._known = dict(known or {})
        self._strays: set[str] = set()
        self.number, self.hash = 0, GENESIS
        """The last batch that was read; the hash is empty while that is not known."""

    def name(self, number: int) -> str:
        """How a batch of the chain is called."""
        return f"{self._archive.region}/{self.shard:03d}/{number}"

    def follow(self) -> Iterator[Batch | Finding]:
        """The batches after the last one that was read, as far as they are what they say, and what is wrong."""
        for stored, contents in self._archive.contents(self.shard, self.number):
            number = stored.number
            if number <= self.number:
                if stored.key not in self._strays:
                    yield Finding("stray", stored.key, "no batch has this name")
                self._strays.add(stored.key)
                continue
            if number > self.number + 1:
                gap = f"{self.number + 1} to {number - 1}" if number > self.number + 2 else str(number - 1)
                yield Finding("missing", self.name(self.number + 1), f"batch {gap} is not in the archive")
                self.hash = ""
            yield from self._take(stored, contents)

    def compared(self, head: Head | None) -> Iterator[Finding]:
        """What differs from the head that the notary keeps; to be asked when everything was read."""
        if head is None:
            if self.number:
                yield Finding("beyond", self.name(self.number), "the table proofs has no head of this chain")
        elif self.number < head.number:
            text = f"the head is batch {head.number}, the archive ends before it"
            yield Finding("cut short", self.name(self.number), text)
        elif self.number > head.number:
            text = f"the head is batch {head.number}, the archive goes on: not the notary's, or it is at work"
            yield Finding("beyond", self.name(self.number), text)
        elif self.hash and self.hash != head.hash:
            yield Finding("unlinked", self.name(self.number), "the head in the table proofs names another hash")
        for number in sorted(self._known):
            if number > self.number:
                yield Finding("cut short", self.name(number), "an anchor was noted of it, and it is not there")

    def _take(self, stored: Stored, contents: list[bytes]) -> Iterator[Batch | Finding]:
        """Goes one batch on: the first version that fits, or else one that at least is in its place."""
        number = stored.number
        versions = [_parsed(content) for content in contents]
        placed = [found for found in versions if isinstance(found, Batch) and found.key == stored.key]
        fitting = [batch for batch in placed if batch.previous == self.hash or not self.hash]
        chosen = fitting[-1] if fitting else placed[-1] if placed else None
        wrong = self._wrong(stored, versions, chosen)
        if wrong:
            what, text = wrong
            rest = "; an earlier version is in order and was used" if fitting and versions[0] != chosen else ""
            yield Finding(what, self.name(number), text + (rest or _deleted_only(stored, fitting)))
        self.number, self.hash = number, chosen.hash if chosen else ""
        noted = self._known.pop(number, None)
        if chosen and noted and noted != chosen.hash:
            yield Finding("unlinked", self.name(number), "its hash is not the one that was noted as an anchor")
        if chosen:
            yield chosen

    def _wrong(
        self, stored: Stored, versions: list[Batch | InvalidBatch], chosen: Batch | None
    ) -> tuple[str, str] | None:
        """What is wrong with the newest version of an object."""
        if stored.deleted or not versions:
            return "deleted", "a delete marker hides the batch"
        newest = versions[0]
        if isinstance(newest, InvalidBatch):
            return "altered", str(newest)
        if newest.key != stored.key:
            return "renumbered", f"it says that it is {newest.region}/{newest.shard:03d}/{newest.number}"
        if self.hash and newest.previous != self.hash:
            return "unlinked", "it does not name the hash of the batch before it: one of the two is not what it was"
        if newest != chosen:
            return "overwritten", "its first version had another content"
        return None


def _parsed(content: bytes) -> Batch | InvalidBatch:
    try:
        return proofs.parse(content)
    except InvalidBatch as error:
        return error


def _deleted_only(stored: Stored, fitting: list[Batch]) -> str:
    return "; what it hides is in order and was used" if stored.deleted and fitting else ""
