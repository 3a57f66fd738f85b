"""The edge sends requests where they can be answered, changes nothing on the way, and never sends one twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from cdk import config
from local import edge
from local.edge import MAX_BODY, Proxy, Region, watch

Handler = Callable[[httpx.Request], httpx.Response]


def region(name: str, slots: int = 8) -> Region:
    return Region(name, f"http://{name}.test/restapis/abc/live/_user_request_", asyncio.Semaphore(slots))


def through(handler: Any, *regions: Region, rotate: bool = True) -> httpx.AsyncClient:
    upstream = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return httpx.AsyncClient(transport=httpx.ASGITransport(Proxy(regions, upstream, rotate)), base_url="http://edge")


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def ok(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=request.url.host)


def test_a_request_and_its_answer_arrive_unchanged() -> None:
    async def test() -> None:
        seen: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(422, json={"error": {}}, headers={"Idempotent-Replayed": "true", "Retry-After": "1"})

        async with through(handler, region("east")) as client:
            headers = {"Idempotency-Key": "k"}
            answer = await client.post("/api/v1/a%2Fb?limit=1&x=%20", content=b"\x00body", headers=headers)

        (request,) = seen
        assert request.method == "POST"
        assert str(request.url) == "http://east.test/restapis/abc/live/_user_request_/api/v1/a%2Fb?limit=1&x=%20"
        assert (request.content, request.headers["idempotency-key"]) == (b"\x00body", "k")
        assert request.headers["host"] == "east.test"
        assert (answer.status_code, answer.json()) == (422, {"error": {}})
        assert (answer.headers["idempotent-replayed"], answer.headers["retry-after"]) == ("true", "1")
        assert answer.headers["x-served-by"] == "east"

    run(test)


def test_regions_take_turns_while_healthy() -> None:
    async def test() -> None:
        async with through(ok, region("east"), region("west")) as client:
            hosts = [(await client.get("/")).text for _ in range(4)]
        assert sorted(hosts) == ["east.test", "east.test", "west.test", "west.test"]

    run(test)


def test_with_a_primary_the_other_region_only_stands_by() -> None:
    async def test() -> None:
        east, west = region("east"), region("west")
        async with through(ok, east, west, rotate=False) as client:
            assert {(await client.get("/")).text for _ in range(3)} == {"east.test"}
            for _ in range(3):
                east.probed(False)
            assert (await client.get("/")).text == "west.test"
            east.probed(True)
            east.probed(True)
            assert (await client.get("/")).text == "east.test"

    run(test)


def test_when_none_is_healthy_all_are_tried() -> None:
    async def test() -> None:
        east = region("east")
        for _ in range(3):
            east.probed(False)
        async with through(ok, east) as client:
            assert (await client.get("/")).status_code == 200

    run(test)


def test_a_region_that_cannot_be_reached_is_passed_over() -> None:
    async def test() -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            if request.url.host == "east.test":
                raise httpx.ConnectError("refused")
            return ok(request)

        async with through(handler, region("east"), region("west")) as client:
            assert {(await client.post("/")).text for _ in range(4)} == {"west.test"}

    run(test)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (httpx.ReadTimeout("slow"), 504, "region_timeout"),
        (httpx.ReadError("cut"), 502, "bad_gateway"),
        (httpx.ConnectError("refused"), 503, "region_unavailable"),
    ],
)
def test_faults_are_told_in_the_platforms_format_and_not_retried(error: Exception, status: int, code: str) -> None:
    async def test() -> None:
        calls = []

        def handler(request: httpx.Request) -> httpx.Response:
            calls.append(request)
            raise error

        regions = [region("east"), region("west")]
        async with through(handler, *regions) as client:
            answer = await client.post("/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["type"] == "api_error"
        assert answer.headers["retry-after"] == "1"
        assert len(calls) == (2 if isinstance(error, httpx.ConnectError) else 1)

    run(test)


def test_a_body_over_10_mb_is_refused_before_it_is_sent() -> None:
    async def test() -> None:
        async with through(ok, region("east")) as client:
            assert (await client.post("/", content=b"x" * MAX_BODY)).status_code == 200
            answer = await client.post("/", content=b"x" * (MAX_BODY + 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")

    run(test)


def test_what_exceeds_the_limit_waits() -> None:
    async def test() -> None:
        busy, most = 0, 0

        async def handler(request: httpx.Request) -> httpx.Response:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.01)
            busy -= 1
            return ok(request)

        async with through(handler, region("east", slots=3)) as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(12)))
        assert {answer.status_code for answer in answers} == {200}
        assert most == 3

    run(test)


def test_what_waits_for_a_region_that_turns_unhealthy_goes_elsewhere() -> None:
    async def test() -> None:
        async def handler(request: httpx.Request) -> httpx.Response:
            if request.url.host == "east.test":
                await asyncio.sleep(60)
            return ok(request)

        east, west = region("east", slots=1), region("west")
        async with through(handler, east, west, rotate=False) as client:
            stuck = asyncio.create_task(client.get("/"))
            await asyncio.sleep(0.01)
            waiting = asyncio.create_task(client.get("/"))
            await asyncio.sleep(0.01)
            for _ in range(3):
                east.probed(False)
            assert (await asyncio.wait_for(waiting, 1)).text == "west.test"
            stuck.cancel()

    run(test)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> float:
    """The edge's times, a fortieth of what they are; answers the interval between probes."""
    for name in ("PROBE_EVERY", "PROBE_BUDGET", "GRACE"):
        monkeypatch.setattr(edge, name, getattr(edge, name) / 40)
    return edge.PROBE_EVERY


class Frozen:
    """A region's API that takes requests and does not answer while it is frozen."""

    def __init__(self) -> None:
        self.thawed, self.seen = asyncio.Event(), 0
        self.thawed.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen += 1
        await self.thawed.wait()
        return ok(request)


@asynccontextmanager
async def watched(region: Region, handler: Any) -> AsyncIterator[None]:
    """The region is probed meanwhile."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
        watching = asyncio.create_task(watch(region, client))
        try:
            yield
        finally:
            watching.cancel()


def test_routing_moves_within_ten_seconds_of_a_freeze() -> None:
    found_out = edge.FAILURES * edge.PROBE_EVERY + edge.PROBE_BUDGET
    assert found_out <= 6
    assert found_out + edge.GRACE + edge.PROBE_EVERY < 10


def test_a_probe_waits_longer_than_health_itself() -> None:
    local = {"environment": "local", "key_store": "file:/keys"}
    assert config.read(local.get).health_budget_ms < 1000 * edge.PROBE_BUDGET


def test_nobody_waits_for_a_region_longer_than_at_api_gateway() -> None:
    assert edge.TIMEOUT == 29


def test_a_region_is_unhealthy_after_three_failures_in_a_row_and_well_after_two_successes() -> None:
    east = region("east")
    for succeeded, healthy in zip((0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0), (1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1), strict=True):
        east.probed(bool(succeeded))
        assert east.healthy is bool(healthy)


def test_a_frozen_region_is_found_out_and_a_thawed_one_comes_back(quick: float) -> None:
    async def test() -> None:
        east, api = region("east"), Frozen()
        async with watched(east, api):
            await asyncio.sleep(3 * quick)
            assert east.healthy
            api.thawed.clear()
            begun = time.monotonic()
            await asyncio.wait_for(east.down.wait(), 5)
            assert time.monotonic() - begun >= (edge.FAILURES - 1) * quick, "not at the first sign"
            asked = api.seen
            await asyncio.sleep(10 * quick)
            assert api.seen == asked, "a frozen region has one probe before it when it thaws"
            api.thawed.set()
            while not east.healthy:
                await asyncio.sleep(quick / 10)
            assert api.seen <= asked + edge.SUCCESSES

    run(lambda: asyncio.wait_for(test(), 10))


def test_a_region_that_is_slower_than_a_probe_but_answers_stays_healthy(quick: float) -> None:
    async def test() -> None:
        async def handler(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(1.4 * edge.PROBE_BUDGET)
            return ok(request)

        east = region("east")
        async with watched(east, handler):
            await asyncio.sleep(15 * quick)
            assert east.healthy

    run(test)


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.Response(302), httpx.ConnectError("refused")], ids=str)
def test_a_region_that_says_no_or_is_gone_is_unhealthy(answer: Any, quick: float) -> None:
    async def test() -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer.status_code)

        east = region("east")
        async with watched(east, handler):
            await asyncio.wait_for(east.down.wait(), 5)

    run(test)


def test_probes_come_at_a_fixed_rate(quick: float) -> None:
    async def test() -> None:
        times: list[float] = []

        async def handler(request: httpx.Request) -> httpx.Response:
            times.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.6 * quick)
            return ok(request)

        async with watched(region("east"), handler):
            while len(times) < 11:
                await asyncio.sleep(quick / 10)
        # However long each takes, they lie on one grid: were it added up, ten would take six intervals more.
        assert times[10] - times[0] < 13 * quick

    run(lambda: asyncio.wait_for(test(), 10))


def down(region: Region) -> None:
    for _ in range(edge.FAILURES):
        region.probed(False)


def well(region: Region) -> None:
    for _ in range(edge.SUCCESSES):
        region.probed(True)


def test_what_a_region_has_that_turns_unhealthy_is_given_up_and_never_sent_elsewhere(quick: float) -> None:
    async def test() -> None:
        api, elsewhere = Frozen(), []
        api.thawed.clear()

        async def handler(request: httpx.Request) -> httpx.Response:
            if request.url.host == "east.test":
                return await api(request)
            elsewhere.append(request)
            return ok(request)

        east, west = region("east", slots=1), region("west")
        async with through(handler, east, west, rotate=False) as client:
            stuck = asyncio.create_task(client.post("/"))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            down(east)
            answer = await asyncio.wait_for(stuck, 5)

            assert time.monotonic() - begun >= edge.GRACE
            assert (answer.status_code, answer.json()["error"]["code"]) == (504, "region_lost")
            assert (answer.headers["retry-after"], elsewhere, api.seen) == ("1", [], 1)
            assert not east.slots.locked()
            assert (await client.post("/")).text == "west.test", "the sender's retry"

    run(test)


def test_a_region_that_answers_in_its_grace_has_answered(quick: float) -> None:
    async def test() -> None:
        api = Frozen()
        api.thawed.clear()
        east = region("east")
        async with through(api, east, region("west"), rotate=False) as client:
            stuck = asyncio.create_task(client.post("/"))
            await asyncio.sleep(0.05)
            down(east)
            await asyncio.sleep(edge.GRACE / 4)
            api.thawed.set()
            assert (await asyncio.wait_for(stuck, 5)).status_code == 200

    run(test)


@pytest.mark.parametrize("saved_by", ["recovery", "nobody else", "a gateway"])
def test_nothing_is_given_up_that_has_nowhere_better_to_go(saved_by: str, quick: float) -> None:
    async def test() -> None:
        api = Frozen()
        api.thawed.clear()
        east, west = region("east"), region("west")
        regions = [east] if saved_by == "a gateway" else [east, west]
        async with through(api, *regions, rotate=False) as client:
            stuck = asyncio.create_task(client.post("/"))
            await asyncio.sleep(0.05)
            if saved_by == "nobody else":
                down(west)
            down(east)
            if saved_by == "recovery":
                well(east)
            await asyncio.sleep(6 * edge.GRACE)
            assert not stuck.done()
            api.thawed.set()
            assert (await asyncio.wait_for(stuck, 5)).status_code == 200

    run(test)


def test_what_waits_where_none_is_healthy_is_given_up_when_another_region_is_well(quick: float) -> None:
    async def test() -> None:
        api = Frozen()
        api.thawed.clear()
        east, west = region("east"), region("west")
        async with through(api, east, west, rotate=False) as client:
            down(east)
            down(west)
            stuck = asyncio.create_task(client.post("/"))
            await asyncio.sleep(3 * edge.GRACE)
            assert not stuck.done()
            well(west)
            assert (await asyncio.wait_for(stuck, 5)).status_code == 504

    run(test)
