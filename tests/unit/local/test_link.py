"""The link between the regions passes everything on unchanged, and loses what its dials say."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from local.dials import AT_ONCE, Dials
from local.link import Fate, Way, fate

CUT = Dials(lag_ms=0, cut_off=("us-east-1",))


class There:
    """The other region: answers each request with what it got, or later, when it is told to."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            self.got.append(body)
            await self.go_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


class Link:
    """A link whose dials can be turned, with a client on this side and a region on the other."""

    def __init__(self, client: httpx.AsyncClient, there: There):
        self.client, self.there, self.dials = client, there, AT_ONCE

    async def send(self, body: bytes, patience: float = 0.3) -> bytes:
        return (await self.client.post("/", content=body, timeout=patience)).content


@asynccontextmanager
async def linked() -> AsyncIterator[Link]:
    there = There()
    far = await asyncio.start_server(there.connected, "127.0.0.1", 0)
    link: Link
    way = Way(far.sockets[0].getsockname()[1], lambda: link.dials, random.Random(1))
    near = await asyncio.start_server(way.connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{near.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        link = Link(client, there)
        yield link
    near.close()
    far.close()


def run(test: Callable[[Link], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with linked() as link:
            await test(link)

    asyncio.run(whole())


def test_requests_of_any_size_arrive_unchanged_on_one_connection() -> None:
    async def test(link: Link) -> None:
        for body in (b"", b"a", bytes(range(256)) * 8000):
            assert await link.send(body, 5) == body
        assert link.there.got[1] == b"a"

    run(test)


def test_latency_is_added_to_each_call() -> None:
    async def test(link: Link) -> None:
        link.dials = Dials(link_latency_ms=100)
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(*(link.send(b"x", 5) for _ in range(5)))
        assert 0.1 <= asyncio.get_running_loop().time() - begun < 0.4

    run(test)


def test_what_is_asked_during_a_cut_never_arrives_not_even_after_it() -> None:
    async def test(link: Link) -> None:
        assert await link.send(b"before") == b"before"
        link.dials = CUT
        with pytest.raises(httpx.ReadTimeout):
            await link.send(b"cut")
        link.dials = AT_ONCE
        assert await link.send(b"after") == b"after"
        assert link.there.got == [b"before", b"after"]

    run(test)


def test_an_answer_that_comes_during_a_cut_is_lost() -> None:
    async def test(link: Link) -> None:
        link.there.go_on.clear()
        asking = asyncio.ensure_future(link.send(b"done", 1))
        await asyncio.sleep(0.1)
        link.dials = CUT
        link.there.go_on.set()
        with pytest.raises(httpx.ReadTimeout):
            await asking
        assert link.there.got == [b"done"]

    run(test)


def test_dropped_calls_are_lost_on_either_way_and_the_others_arrive() -> None:
    async def test(link: Link) -> None:
        link.dials = Dials(link_drop_rate=0.5)
        answers = await asyncio.gather(*(link.send(b"%d" % number) for number in range(60)), return_exceptions=True)
        answered = {answer for answer in answers if isinstance(answer, bytes)}
        faults = {type(answer) for answer in answers if isinstance(answer, Exception)}
        assert 10 < len(answered) < 50
        assert answered < set(link.there.got)
        assert len(link.there.got) < 60
        assert faults == {httpx.ReadTimeout, httpx.RemoteProtocolError}

    run(test)


def test_a_region_that_is_not_there_breaks_the_connection_off() -> None:
    async def test() -> None:
        way = Way(1, lambda: AT_ONCE)
        near = await asyncio.start_server(way.connected, "127.0.0.1", 0)
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://127.0.0.1:{near.sockets[0].getsockname()[1]}")
        near.close()

    asyncio.run(test())


def test_fates_are_drawn_by_the_dials() -> None:
    chance = random.Random(0)
    assert {fate(AT_ONCE, chance) for _ in range(100)} == {Fate()}
    assert {fate(CUT, chance) for _ in range(100)} == {Fate(delivered=False, answered=False)}
    assert Fate() not in {fate(Dials(link_drop_rate=1), chance) for _ in range(100)}
