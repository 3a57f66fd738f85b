"""The replication process: reads streams, applies with a lag, and lets no region hold up another."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import replication
from local.convergence import Image
from local.dynamo import NoAnswer, Refused
from local.lag import Lag
from local.replication import Replicator, StreamReader

EAST, WEST = "us-east-1", "us-west-2"


class FakeDynamo:
    """DynamoDB in one region, in memory, that can stop answering."""

    def __init__(self) -> None:
        self.items: dict[str, Image] = {}
        self.stream: list[dict[str, Any]] = []
        self.frozen = self.expire = False

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
        return {"payments": "arn"}

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

    def _answer(self) -> None:
        if self.frozen:
            raise NoAnswer("timed out")


class Pair:
    """Two regions with replication between them."""

    def __init__(self, lag_file: Path, lag_ms: int = 0):
        self.regions = {EAST: FakeDynamo(), WEST: FakeDynamo()}
        self.replicator = Replicator(self.regions, Lag(lag_ms, lag_file), ("payments",))  # type: ignore[arg-type]
        replication.start(self.replicator)

    def equal(self, key: str, image: Image | None) -> Callable[[], bool]:
        return lambda: all(region.items.get(key) == image for region in self.regions.values())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BUSY_POLL", "_IDLE_POLL", "_RETRY", "_UNREACHABLE_RETRY"):
        monkeypatch.setattr(replication, name, 0.005)


def image(key: str, **values: str) -> Image:
    return {"id": {"S": key}, **{name: {"S": value} for name, value in values.items()}}


def eventually(condition: Callable[[], bool], seconds: float = 3) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_writes_and_deletes_arrive_in_the_other_region(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "lag")
    pair.regions[EAST].write("pay_1", image("pay_1"))
    pair.regions[WEST].write("pay_2", image("pay_2"))
    assert eventually(pair.equal("pay_1", image("pay_1")))
    assert eventually(pair.equal("pay_2", image("pay_2")))

    pair.regions[WEST].write("pay_1", None)

    assert eventually(pair.equal("pay_1", None))


def test_nothing_is_echoed(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "lag")
    pair.regions[EAST].write("pay_1", image("pay_1"))
    assert eventually(pair.equal("pay_1", image("pay_1")))

    time.sleep(0.1)

    assert [len(region.stream) for region in pair.regions.values()] == [1, 1]


def test_the_lag_delays_and_can_be_changed_while_running(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "lag", lag_ms=60_000)
    pair.regions[EAST].write("pay_1", image("pay_1"))
    time.sleep(0.1)
    assert pair.regions[WEST].items == {}

    (tmp_path / "lag").write_text("0")
    pair.regions[EAST].write("pay_2", image("pay_2"))

    assert eventually(pair.equal("pay_2", image("pay_2")))
    assert "pay_1" not in pair.regions[WEST].items


def test_a_frozen_region_holds_up_nobody_and_catches_up_after_thaw(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "lag")
    pair.regions[WEST].frozen = True
    pair.regions[EAST].write("pay_1", image("pay_1", status="pending"))
    time.sleep(0.05)
    pair.regions[EAST].write("pay_1", image("pay_1", status="succeeded"))
    time.sleep(0.05)
    assert pair.replicator.status()["answering"] == {EAST: True, WEST: False}

    pair.regions[WEST].frozen = False

    assert eventually(pair.equal("pay_1", image("pay_1", status="succeeded")))


def test_an_expired_iterator_loses_nothing(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "lag")
    pair.regions[EAST].write("pay_1", image("pay_1"))
    assert eventually(pair.equal("pay_1", image("pay_1")))
    pair.regions[EAST].expire = True

    pair.regions[EAST].write("pay_2", image("pay_2"))

    assert eventually(pair.equal("pay_2", image("pay_2")))


def test_concurrent_writers_in_both_regions_end_equal(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "lag")
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
    reader = StreamReader(Replicator({EAST: dynamo}, Lag(0), ("payments",)), EAST)  # type: ignore[dict-item]
    assert reader.read_all() == 0

    del dynamo.streams
    dynamo.write("pay_1", image("pay_1"))

    assert reader.read_all() == 1
