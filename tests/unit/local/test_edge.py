"""The edge sends requests where they can be answered, changes nothing on the way, and never sends one twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from local.edge import MAX_BODY, Proxy, Region

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
