"""The replication process: reads streams, applies with a lag, and lets no region hold up another."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from typing import Any, ClassVar

import pytest

from local import replication
from local.convergence import Image
from local.dials import AT_ONCE, Dials
from local.dynamo import NoAnswer, Refused
from local.replication import Replicator, StreamReader

EAST, WEST = "us-east-1", "us-west-2"


class Over(BaseException):
    """The test is over: ends the thread that reads, which would read on beside all tests that follow."""


class FakeDynamo:
    """DynamoDB in one region, in memory, that can stop answering."""

    over = False

    def __init__(self) -> None:
        self.items: dict[str, Image] = {}
        self.stream: list[dict[str, Any]] = []
        self.frozen = self.expire = False
        self.arn = "arn"

    def write(self, key: str, image: Image | None) -> Image | None:
        old = self.items.pop(key, None)
        if image is not None:
            self.items[key] = image
        if old != image:
            number = f"{int(time.time() * 1000):020d}{len(self.stream):010d}"
            change: dict[str, Any] = {"Keys": {"id": {"S": key}}, "SequenceNumber": number}
            change |= {} if image is None else {"NewImage": image}
            self.stream.append({"eventName": "REMOVE" if image is None else "MODIFY", "dynamodb": change})
        return old

    def streams(self) -> dict[str, str]:
        self._end()
        return {"payments": self.arn}

    def iterator(self, arn: str, after: str | None) -> str:
        numbers = [record["dynamodb"]["SequenceNumber"] for record in self.stream]
        return str(numbers.index(after) + 1 if after else 0)

    def records(self, iterator: str) -> tuple[list[dict[str, Any]], str]:
        self._answer()
        if self.expire:
            self.expire = False
            raise Refused("ExpiredIteratorException", "")
        return self.stream[int(iterator) :], str(len(self.stream))

    def put(self, table: str, image: Image, expected: Image | None, keys: Image, blindly: bool = False) -> Image | None:
        return self._change(keys["id"]["S"], image, expected, blindly)

    def delete(self, table: str, expected: Image | None, keys: Image, blindly: bool = False) -> Image | None:
        return self._change(keys["id"]["S"], None, expected, blindly)

    def _change(self, key: str, image: Image | None, expected: Image | None, blindly: bool) -> Image | None:
        self._answer()
        if not blindly and self.items.get(key) != expected:
            raise Refused("ConditionalCheckFailedException", "")
        return self.write(key, image)

    def begin_again(self) -> None:
        """A killed region that was deployed again: its tables are new, and empty."""
        self.items, self.stream, self.arn = {}, [], self.arn + "+"
        self.frozen = False

    def _end(self) -> None:
        if self.over:
            raise Over

    def _answer(self) -> None:
        self._end()
        if self.frozen:
            raise NoAnswer("timed out")


class Pair:
    """Two regions with replication between them."""

    begun: ClassVar[list["Pair"]] = []

    def __init__(self, dials: Dials = AT_ONCE):
        self.begun.append(self)
        self.regions, self.dials = {EAST: FakeDynamo(), WEST: FakeDynamo()}, dials
        self.replicator = Replicator(self.regions, lambda: self.dials, ("payments",))  # type: ignore[arg-type]
        replication.start(self.replicator)

    def equal(self, key: str, image: Image | None) -> Callable[[], bool]:
        return lambda: all(region.items.get(key) == image for region in self.regions.values())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BUSY_POLL", "_IDLE_POLL", "_RETRY", "_UNREACHABLE_RETRY"):
        monkeypatch.setattr(replication, name, 0.005)


@pytest.fixture(autouse=True)
def _no_reader_survives(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    run = StreamReader.run

    @wraps(run)
    def until_over(reader: StreamReader) -> None:
        with suppress(Over):
            run(reader)

    monkeypatch.setattr(StreamReader, "run", until_over)
    yield
    for pair in Pair.begun:
        for region in pair.regions.values():
            region.over = True
    Pair.begun.clear()
    assert eventually(lambda: not any("StreamReader" in thread.name for thread in threading.enumerate()))


def image(key: str, **values: str) -> Image:
    return {"id": {"S": key}, **{name: {"S": value} for name, value in values.items()}}


def eventually(condition: Callable[[], bool], seconds: float = 3) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_writes_and_deletes_arrive_in_the_other_region() -> None:
    pair = Pair()
    pair.regions[EAST].write("pay_1", image("pay_1"))
    pair.regions[WEST].write("pay_2", image("pay_2"))
    assert eventually(pair.equal("pay_1", image("pay_1")))
    assert eventually(pair.equal("pay_2", image("pay_2")))

    pair.regions[WEST].write("pay_1", None)

    assert eventually(pair.equal("pay_1", None))


def test_nothing_is_echoed() -> None:
    pair = Pair()
    pair.regions[EAST].write("pay_1", image("pay_1"))
    assert eventually(pair.equal("pay_1", image("pay_1")))

    time.sleep(0.1)

    assert [len(region.stream) for region in pair.regions.values()] == [1, 1]


def test_the_lag_delays_and_can_be_changed_while_running() -> None:
    pair = Pair(Dials(lag_ms=60_000))
    pair.regions[EAST].write("pay_1", image("pay_1"))
    time.sleep(0.1)
    assert pair.regions[WEST].items == {}

    pair.dials = AT_ONCE
    pair.regions[EAST].write("pay_2", image("pay_2"))

    assert eventually(pair.equal("pay_2", image("pay_2")))
    assert "pay_1" not in pair.regions[WEST].items


def test_a_frozen_region_holds_up_nobody_and_catches_up_after_thaw() -> None:
    pair = Pair()
    pair.regions[WEST].frozen = True
    pair.regions[EAST].write("pay_1", image("pay_1", status="pending"))
    time.sleep(0.05)
    pair.regions[EAST].write("pay_1", image("pay_1", status="succeeded"))
    time.sleep(0.05)
    assert pair.replicator.status()["answering"] == {EAST: True, WEST: False}

    pair.regions[WEST].frozen = False

    assert eventually(pair.equal("pay_1", image("pay_1", status="succeeded")))


def test_a_cut_holds_everything_back_and_nothing_is_lost_by_it() -> None:
    pair = Pair(Dials(lag_ms=0, cut_off=(WEST,)))
    for number in range(20):
        pair.regions[EAST].write(f"pay_{number}", image(f"pay_{number}"))
    pair.regions[WEST].write("pay_west", image("pay_west"))
    time.sleep(0.15)
    assert (len(pair.regions[EAST].items), len(pair.regions[WEST].items)) == (20, 1)
    assert pair.replicator.status()["pending"] == {EAST: 1, WEST: 20}

    pair.dials = AT_ONCE

    assert eventually(lambda: pair.regions[EAST].items == pair.regions[WEST].items)
    assert len(pair.regions[EAST].items) == 21


def test_what_was_held_back_comes_in_another_order() -> None:
    pair = Pair(Dials(lag_ms=0, cut_off=(EAST,)))
    written = [f"pay_{number}" for number in range(50)]
    for key in written:
        pair.regions[EAST].write(key, image(key))
    assert eventually(lambda: pair.replicator.status()["pending"][WEST] == 50)

    pair.dials = AT_ONCE

    assert eventually(lambda: len(pair.regions[WEST].stream) == 50)
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in pair.regions[WEST].stream] != written


def test_both_sides_of_a_cut_end_with_the_last_write() -> None:
    pair = Pair(Dials(lag_ms=0, cut_off=(EAST,)))
    pair.regions[EAST].write("pay_1", image("pay_1", status="failed"))
    time.sleep(0.005)
    pair.regions[WEST].write("pay_1", image("pay_1", status="succeeded"))
    time.sleep(0.05)

    pair.dials = AT_ONCE

    assert eventually(pair.equal("pay_1", image("pay_1", status="succeeded")))


def test_what_a_region_wrote_before_it_was_killed_reaches_the_survivor() -> None:
    pair = Pair(Dials(lag_ms=200))
    pair.regions[EAST].write("pay_1", image("pay_1"))
    assert eventually(lambda: pair.replicator.status()["pending"][WEST] == 1)

    pair.regions[EAST].frozen = True

    assert eventually(lambda: pair.regions[WEST].items == {"pay_1": image("pay_1")})


def test_a_region_that_was_killed_and_begins_again_gets_everything_back() -> None:
    pair = Pair()
    pair.regions[EAST].write("pay_1", image("pay_1"))
    pair.regions[WEST].write("pay_2", image("pay_2"))
    assert eventually(lambda: len(pair.regions[EAST].items) == len(pair.regions[WEST].items) == 2)
    pair.regions[WEST].frozen = True
    pair.regions[EAST].write("pay_1", image("pay_1", status="succeeded"))
    assert eventually(lambda: not pair.replicator.status()["answering"][WEST])

    pair.regions[WEST].begin_again()

    assert eventually(lambda: pair.regions[EAST].items == pair.regions[WEST].items)
    assert pair.regions[WEST].items["pay_1"] == image("pay_1", status="succeeded")
    pair.regions[WEST].write("pay_3", image("pay_3"))
    assert eventually(pair.equal("pay_3", image("pay_3")))


def test_items_overtake_one_another_within_the_lag() -> None:
    dials, now = Dials(lag_ms=10_000), time.time()

    late = [replication.due(int(now * 1000), dials) - time.monotonic() for _ in range(50)]

    assert all(4.9 <= wait <= 10 for wait in late)
    assert late != sorted(late)


def test_an_expired_iterator_loses_nothing() -> None:
    pair = Pair()
    pair.regions[EAST].write("pay_1", image("pay_1"))
    assert eventually(pair.equal("pay_1", image("pay_1")))
    pair.regions[EAST].expire = True

    pair.regions[EAST].write("pay_2", image("pay_2"))

    assert eventually(pair.equal("pay_2", image("pay_2")))


def test_concurrent_writers_in_both_regions_end_equal() -> None:
    pair = Pair()
    for number in range(60):
        pair.regions[EAST if number % 2 else WEST].write("pay_1", image("pay_1", write=str(number)))
        time.sleep(0.002)

    assert eventually(pair.equal("pay_1", image("pay_1", write="59")))


def test_a_time_of_write_is_read_from_either_form_of_record() -> None:
    emulated = {"SequenceNumber": f"{1_700_000_000_123:020d}{7:010d}"}
    plain = {"SequenceNumber": "42", "ApproximateCreationDateTime": 1_700_000_000}

    assert replication.written_at(emulated) == 1_700_000_000_123
    assert replication.written_at(plain) == 1_700_000_000_000


def test_tables_that_do_not_exist_yet_are_looked_for_again() -> None:
    dynamo = FakeDynamo()
    dynamo.streams = dict  # type: ignore[method-assign]
    reader = StreamReader(Replicator({EAST: dynamo}, lambda: AT_ONCE, ("payments",)), EAST)  # type: ignore[dict-item]
    assert reader.read_all() == 0

    del dynamo.streams
    dynamo.write("pay_1", image("pay_1"))

    assert reader.read_all() == 1
