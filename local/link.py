"""The network between the regions, as functions see it: `python -m local.link`.

A function that calls AWS in the other region (setting `REGIONS`) goes through here: per region one port, the way to
it. Bytes are passed on unread. What is asked and its answer are an exchange, to which the dials happen: it takes
longer, is lost on the way, or has its answer lost. What is lost is never delivered later; whoever sent it hears nothing
and gives up in its own time, or, in half of the cases, has the connection broken off.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass

from local.dials import DialFile, Dials, Reader
from local.settings import HOST, REGIONS, Settings, settings

log = logging.getLogger("link")

_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Fate:
    """What becomes of an exchange."""

    delivered: bool = True
    answered: bool = True
    broken_off: bool = False
    """Whether the sender of a lost exchange is told, by the end of its connection."""


def fate(dials: Dials, chance: random.Random) -> Fate:
    """The fate of an exchange that begins now. Of one that is cut off nobody is told."""
    if dials.apart:
        return Fate(delivered=False, answered=False)
    if chance.random() >= dials.link_drop_rate:
        return Fate()
    return Fate(delivered=chance.random() < 0.5, answered=False, broken_off=chance.random() < 0.5)


class Way:
    """The way to one region's AWS."""

    def __init__(self, port: int, dials: Reader, chance: random.Random | None = None):
        self._port, self._dials, self._chance = port, dials, chance or random.Random()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        try:
            there = await asyncio.open_connection(HOST, self._port)
        except OSError as error:
            log.info("port %s: %s", self._port, error)
            writer.close()
            return
        connection = _Connection(reader, writer, *there)
        pumps = connection.asks(self._dials, self._chance), connection.answers(self._dials)
        await _until_the_first(*pumps)
        connection.close()


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there_reader: asyncio.StreamReader,
        there_writer: asyncio.StreamWriter,
    ):
        self._here, self._there = (reader, writer), (there_reader, there_writer)
        self._fate: Fate | None = None
        """Of the exchange under way; None between two."""

    async def asks(self, dials: Reader, chance: random.Random) -> None:
        """Pass on what is asked. Ends with the connection, or when a lost exchange is broken off."""
        while content := await self._here[0].read(_CHUNK):
            if self._fate is None:
                self._fate = fate(dials(), chance)
                await asyncio.sleep(dials().link_latency_ms / 1000)
            if self._fate.delivered:
                self._there[1].write(content)
                await self._there[1].drain()
            elif self._fate.broken_off:
                return

    async def answers(self, dials: Reader) -> None:
        """Pass on what is answered, unless it is lost: by its fate, or because the link is cut by now."""
        while content := await self._there[0].read(_CHUNK):
            if self._fate is None or (self._fate.answered and not dials().apart):
                self._fate = None
                self._here[1].write(content)
                await self._here[1].drain()
            elif self._fate.broken_off:
                return
            else:
                self._fate = Fate(delivered=False, answered=False)

    def close(self) -> None:
        """End both halves."""
        for _, writer in (self._here, self._there):
            writer.close()


async def _until_the_first(*pumps: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await task


async def serve(at: Settings) -> None:
    """Serve the way to every region until told to stop."""
    dials = DialFile(at)
    for region in REGIONS:
        await asyncio.start_server(Way(at.emulator_port(region), dials).connected, HOST, at.link_port(region))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(settings()))
