"""Two copies of a table become equal whatever the interleaving: the last writer wins, nothing loops."""

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from local.convergence import Change, Copies, Image, Version, canonical

EAST, WEST = "us-east-1", "us-west-2"
REGIONS = (EAST, WEST)


@dataclass
class Region:
    """A table with a stream, as DynamoDB behaves: a write that changes nothing leaves no record."""

    name: str
    items: dict[str, Image] = field(default_factory=dict)
    stream: list[tuple[int, str, Image | None]] = field(default_factory=list)
    read: int = 0

    def write(self, now: int, key: str, image: Image | None) -> Image | None:
        old = self.items.get(key)
        if old != image:
            self.stream.append((now, key, image))
        if image is None:
            self.items.pop(key, None)
        else:
            self.items[key] = image
        return old


class World:
    """Both regions, the requests that are under way between them, and a clock."""

    def __init__(self) -> None:
        self.regions = {name: Region(name) for name in REGIONS}
        self.copies = Copies(REGIONS)
        self.now = 0
        self.under_way: list[tuple[str, Change]] = []
        self.late: list[tuple[str, Change]] = []
        self.writes: dict[str, list[tuple[int, str, Image | None]]] = defaultdict(list)
        self.changes_applied = 0

    def merchant_writes(self, region: str, key: str, image: Image | None) -> None:
        self.now += 1
        records = len(self.regions[region].stream)
        self.regions[region].write(self.now, key, image)
        if len(self.regions[region].stream) > records:
            self.writes[key].append((self.now, region, image))

    def poll(self, region: str, most: int) -> None:
        source = self.regions[region]
        for now, key, image in source.stream[source.read : source.read + most]:
            source.read += 1
            self.copies.observe(region, key, Version(now, region, source.read), image)

    def begin(self, region: str) -> None:
        for key in self.copies.lacking(region):
            change = self.copies.next_change(region, key)
            if change is not None:
                self.under_way.append((region, change))

    def finish(self, index: int, outcome: str) -> None:
        if not self.under_way:
            return
        region, change = self.under_way.pop(index % len(self.under_way))
        if outcome == "lost":
            self.copies.unknown(region, change)
        elif outcome == "late":  # the region was frozen: it takes the request some time after we gave up on it
            self.copies.unknown(region, change)
            self.late.append((region, change))
        else:
            self.take(region, change, answer=True, blindly=outcome == "blind")

    def finish_late(self, index: int) -> None:
        if self.late:
            self.take(*self.late.pop(index % len(self.late)), answer=False)

    def take(self, region: str, change: Change, answer: bool, blindly: bool = False) -> None:
        self.now += 1
        target = self.regions[region]
        if not blindly and canonical(target.items.get(change.key)) != canonical(change.expected):
            return self.copies.refused(region, change) if answer else None
        old = target.write(self.now, change.key, change.image)
        self.changes_applied += 1
        if answer:
            self.copies.applied(region, change, old)
        return None

    def settle(self) -> None:
        for _ in range(200):
            for region in REGIONS:
                self.poll(region, 1000)
                self.begin(region)
            while self.late:
                self.finish_late(0)
            if not self.under_way and not any(r.read < len(r.stream) for r in self.regions.values()):
                for region in REGIONS:
                    self.copies.end_period(region)
                if not any(self.copies.lacking(region) for region in REGIONS):
                    return
            while self.under_way:
                self.finish(0, "answered")
        raise AssertionError("the copies never come to rest")


REGION, KEY = st.sampled_from(REGIONS), st.sampled_from(["pay_1", "pay_2"])
STEPS = st.one_of(
    st.tuples(st.just("write"), REGION, KEY, st.integers(0, 3)),
    st.tuples(st.just("poll"), REGION, st.integers(1, 3)),
    st.tuples(st.just("begin"), REGION),
    st.tuples(st.just("finish"), st.integers(0, 9), st.sampled_from(["answered", "answered", "blind", "lost", "late"])),
    st.tuples(st.just("finish_late"), st.integers(0, 9)),
)


def play(steps: list, unique: bool) -> World:
    world = World()
    for count, (name, *arguments) in enumerate(steps):
        if name == "write":
            region, key, value = arguments
            image = {"id": {"S": key}, "value": {"N": str(value)}} | ({"write": {"N": str(count)}} if unique else {})
            world.merchant_writes(region, key, None if value == 0 else image)
        else:
            getattr(world, name)(*arguments)
    world.settle()
    return world


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=400, deadline=None)
def test_both_regions_end_equal_whatever_happens_in_between(steps: list) -> None:
    world = play(steps, unique=False)

    assert world.regions[EAST].items == world.regions[WEST].items


@given(st.lists(STEPS.filter(lambda step: step[0] != "write" or step[3] != 0), max_size=60))
@settings(max_examples=400, deadline=None)
def test_the_last_write_wins(steps: list) -> None:
    world = play(steps, unique=True)

    for key, writes in world.writes.items():
        assert world.regions[EAST].items.get(key) == max(writes, key=lambda write: write[:2])[2]


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_settled_world_stays_at_rest(steps: list) -> None:
    world = play(steps, unique=True)
    before = world.changes_applied

    world.settle()

    assert world.changes_applied == before


def test_a_replicated_write_is_not_sent_back() -> None:
    world = World()
    world.merchant_writes(EAST, "pay_1", {"id": {"S": "pay_1"}})

    world.settle()

    assert world.changes_applied == 1


def test_an_old_request_taken_after_a_thaw_is_repaired() -> None:
    world = World()
    old, new = {"id": {"S": "pay_1"}, "status": {"S": "pending"}}, {"id": {"S": "pay_1"}, "status": {"S": "succeeded"}}
    world.merchant_writes(EAST, "pay_1", old)
    world.poll(EAST, 9)
    world.begin(WEST)
    world.finish(0, "late")
    world.merchant_writes(EAST, "pay_1", new)

    world.settle()

    assert world.regions[WEST].items["pay_1"] == world.regions[EAST].items["pay_1"] == new


def test_a_delete_that_was_retried_into_silence_does_not_swallow_a_later_delete() -> None:
    world = World()
    item = {"id": {"S": "tok_1"}}
    world.merchant_writes(EAST, "tok_1", item)
    world.settle()
    world.merchant_writes(EAST, "tok_1", None)
    for _ in range(3):  # the region is frozen: three attempts, no answer
        world.poll(EAST, 9)
        world.begin(WEST)
        world.finish(0, "late")
    world.settle()
    for _ in range(2):
        world.copies.end_period(WEST)
    world.merchant_writes(EAST, "tok_1", item)
    world.settle()

    world.merchant_writes(WEST, "tok_1", None)
    world.settle()

    assert world.regions[EAST].items == world.regions[WEST].items == {}


def test_a_write_from_elsewhere_never_overwrites_a_local_write_that_was_not_read_yet() -> None:
    world = World()
    world.merchant_writes(EAST, "pay_1", {"id": {"S": "pay_1"}, "by": {"S": "east"}})
    world.poll(EAST, 9)
    world.begin(WEST)
    mine = {"id": {"S": "pay_1"}, "by": {"S": "west, later"}}
    world.merchant_writes(WEST, "pay_1", mine)

    world.finish(0, "answered")

    assert world.regions[WEST].items["pay_1"] == mine
    world.settle()
    assert world.regions[EAST].items["pay_1"] == mine


def test_equal_items_have_one_form() -> None:
    assert canonical({"a": {"N": "1"}, "b": {"SS": ["x", "y"]}}) == canonical(
        {"b": {"SS": ["y", "x"]}, "a": {"N": "1"}}
    )
    assert canonical({"a": {"L": [{"S": "x"}, {"S": "y"}]}}) != canonical({"a": {"L": [{"S": "y"}, {"S": "x"}]}})
    assert canonical(None) != canonical({})
