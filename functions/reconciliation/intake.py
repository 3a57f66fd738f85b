"""What a run takes: a settlement file, and the projector's feed. All of it is fixed before anything is matched.

Both steps may be repeated at any time. What they come to is written once: `file.json` and `manifest.json` of the run.
"""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from duckdb import DuckDBPyConnection

from functions.reconciliation import compaction, database, ingest, store, table
from functions.reconciliation.ingest import FileOutcome
from functions.reconciliation.runs import Run
from functions.reconciliation.settings import Settings
from payments.observability import count, logger
from payments.settings import load

ACCEPTED, REPEATED, REFUSED, NONE = "accepted", "repeated", "refused", "none"

_FEED, _FILE, _MANIFEST = "feed.json", "file.json", "manifest.json"


class FeedLost(RuntimeError):
    """An object of the feed that this run was to take is gone, and nobody has taken it."""


class Manifest(msgspec.Struct, frozen=True):
    """What the run takes.

    By part: the keys of its new `facts`, and the run whose `states` it goes on with. `lines` are the parts that the
    `file` has lines of, `parts` those that there is anything to match in, and `feed` the keys that were compacted.
    """

    run: str
    as_of: str
    file: str | None
    facts: dict[int, list[str]]
    lines: list[int]
    states: dict[int, str]
    parts: list[int]
    feed: list[str]

    def left(self) -> dict[int, str]:
        """The states that the next run goes on with."""
        return self.states | dict.fromkeys(self.parts, self.run)


def manifest(run: str) -> Manifest | None:
    """The run's manifest, once it is compacted."""
    content = store.read(store.of_run(run, _MANIFEST))
    return None if content is None else msgspec.json.decode(content, type=Manifest)


def file_of(run: str) -> dict[str, Any] | None:
    """What the run's settlement file came to: `result`, and of a file the fields of the report's `files`."""
    found: dict[str, Any] | None = store.read_json(store.of_run(run, _FILE))
    return found


def take_file(run: Run) -> dict[str, Any]:
    """Takes in the run's settlement file: `result` (`accepted`, `repeated`, `refused` or `none`) and its id, `file`.

    A file that an earlier run has accepted is `repeated`; one that was refused may be offered again.
    """
    taken = _file(run)
    return {"result": taken["result"], "file": taken["file"]}


def take_feed(run: Run) -> list[int]:
    """Takes in the projector's feed, and says which parts there are to match. Raises `FeedLost`."""
    if _file(run)["result"] in (REPEATED, REFUSED):
        return []
    found = manifest(run.run) or _compacted(run)
    _clear(found)
    return found.parts


def database_in(directory: Path) -> DuckDBPyConnection:
    """DuckDB within the function's limits, with its temporary files beneath this directory."""
    settings = load(Settings)
    return database.opened(directory / "duckdb", settings.duckdb_memory, settings.duckdb_threads)


def _file(run: Run) -> dict[str, Any]:
    """What the run's file came to, which is found out now if nobody has."""
    return file_of(run.run) or store.put_once(store.of_run(run.run, _FILE), _taken(run))


def _taken(run: Run) -> dict[str, Any]:
    if run.key is None:
        return {"result": NONE, "file": None}
    with TemporaryDirectory() as name:
        try:
            (source,) = store.download([run.key], Path(name) / "inbox")
        except store.Missing:
            return _refused({"result": REFUSED, "file": None, "key": run.key, "reason": "no_such_object"})
        parts = load(Settings).reconciliation_parts
        with database_in(Path(name)) as connection:
            found = ingest.ingest(connection, source, run.key, Path(name), parts)
        return _recorded(run, found)


def _recorded(run: Run, found: FileOutcome) -> dict[str, Any]:
    """The file's record, which says which run has taken it; what is of use in it goes to the store."""
    told = {
        "file": found.file,
        "key": run.key,
        "network": found.network,
        "business_date": found.business_date,
        "rows": found.rows,
        "rejected": found.rejected,
        "reason": found.refused,
        "result": REFUSED if found.refused else ACCEPTED,
    }
    record = table.take(found.file, {**told, "run": run.run, "at": run.began_at})
    if record["run"] != run.run:
        return {**told, "result": REPEATED}
    store.upload([(path, store.lines(found.file, part)) for part, path in found.lines.items()])
    if found.rejects:
        store.upload([(found.rejects, store.rejects(found.file))])
    store.write_json(store.outcome(found.file), told)
    return _refused(told) if found.refused else told


def _refused(told: dict[str, Any]) -> dict[str, Any]:
    logger.error("settlement file refused", extra={"settlement_file": told})
    count("SettlementFilesRefused")
    return told


def _compacted(run: Run) -> Manifest:
    """Makes the manifest. Others may do so at this moment: they take the same objects, and make the same of them."""
    feed = store.put_once(store.of_run(run.run, _FEED), store.find(store.FEED))
    try:
        facts, damaged = _facts(run, feed)
    except store.Missing as missing:
        found = manifest(run.run)  # somebody was faster, and has cleared the feed
        if found is None:
            raise FeedLost(str(missing)) from None
        return found
    made = _manifest(run, [key for key in feed if key not in damaged], facts)
    return msgspec.convert(
        store.put_once(store.of_run(run.run, _MANIFEST), msgspec.to_builtins(made, str_keys=True)),
        Manifest,
        strict=False,
    )


def _facts(run: Run, feed: list[str]) -> tuple[dict[int, list[str]], set[str]]:
    """The keys of the facts of these objects, by part; and those of damaged ones, which stay where they are."""
    found: dict[int, list[str]] = defaultdict(list)
    damaged: set[str] = set()
    if not feed:
        return found, damaged
    with TemporaryDirectory() as name:
        files = store.download(feed, Path(name) / "feed")
        with database_in(Path(name)) as connection:
            keys = dict(zip(files, feed, strict=True))

            def leave(file: Path, why: str) -> None:
                damaged.add(keys[file])
                compaction.report_damage(file, why)

            compacted = compaction.compact(connection, files, Path(name) / "facts", run.run, leave)
        pairs = [(one.path, store.facts(one.day, one.part, run.run)) for one in compacted]
        store.upload(pairs)
        for one, (_, key) in zip(compacted, pairs, strict=True):
            found[one.part].append(key)
    return found, damaged


def _manifest(run: Run, feed: list[str], facts: dict[int, list[str]]) -> Manifest:
    taken = file_of(run.run) or {"file": None}
    lines = [store.part_of_lines(key) for key in store.find(store.lines_of(taken["file"]))] if taken["file"] else []
    before = manifest(run.before) if run.before else None
    states = before.left() if before else {}
    return Manifest(
        run=run.run,
        as_of=run.as_of,
        file=taken["file"],
        facts={part: sorted(keys) for part, keys in sorted(facts.items())},
        lines=sorted(lines),
        states=states,
        parts=sorted({*facts, *lines, *states}),
        feed=feed,
    )


def _clear(taken: Manifest) -> None:
    """The feed is in the facts now. An object's name says what is in it, so none can be there anew with more."""
    gone = set(taken.feed)
    if gone:
        store.delete([key for key in store.find(store.FEED) if key in gone])
