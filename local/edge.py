"""Stands in for Route 53 and for the public names of the regions' APIs: `python -m local.edge`.

One program, three servers: the edge sends a request to a healthy region, the two gateways to their own. A region is
unhealthy after `FAILURES` failed probes of GET /health in a row, healthy again after `SUCCESSES`; when none is healthy
all count as healthy, as in Route 53. What exceeds a region's concurrency limit waits; what waits at the edge for a
region that turns unhealthy goes elsewhere. A request that may have reached a region is never sent twice: when its
region turns unhealthy it is given up after `GRACE` seconds, so that its sender can try another one.
"""

import asyncio
import itertools
import json
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.serving import refusal, server
from local.settings import REGIONS, Settings, settings

log = logging.getLogger("edge")

MAX_BODY = 10 * 1024 * 1024
"""API Gateway's limit on a request body."""
TIMEOUT = 29.0
"""Seconds: API Gateway's limit."""
PROBE_EVERY, PROBE_BUDGET = 1.5, 1.5
"""Seconds. Probes have a fixed rate, so a region that does not answer any more is found out within `FAILURES` intervals
and a budget. The budget is longer than what GET /health itself waits for (cdk/config.py)."""
FAILURES, SUCCESSES = 3, 2
"""In a row. A region that answers only now and then should not come and go with every probe."""
GRACE = 2.0
"""Seconds for what a region has that turns unhealthy: it may be slow, and not gone."""
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}  # RFC 9110, section 7.6.1
_NOT_SENT_BACK = _HOP_BY_HOP | {"content-length", "content-encoding", "date", "server"}
_NOT_SENT_ON = _HOP_BY_HOP | {"host", "content-length"}


@dataclass
class Region:
    """A region's API: where it is, whether it is healthy, and how many requests it takes at a time."""

    name: str
    base: str
    slots: asyncio.Semaphore
    failures: int = 0
    successes: int = 0
    down: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def healthy(self) -> bool:
        """Whether requests should go here."""
        return not self.down.is_set()

    def probed(self, succeeded: bool) -> None:
        """Count a probe."""
        self.failures, self.successes = (0, self.successes + 1) if succeeded else (self.failures + 1, 0)
        if self.successes >= SUCCESSES and not self.healthy:
            log.info("%s is healthy", self.name)
            self.down.clear()
        elif self.failures >= FAILURES and self.healthy:
            log.warning("%s is unhealthy", self.name)
            self.down.set()


class _GivenUp(Exception):
    """A region has a request, and will hardly answer."""


class Proxy:
    """An ASGI app that forwards to one of these regions."""

    def __init__(self, regions: Sequence[Region], client: httpx.AsyncClient, rotate: bool = True):
        self._regions, self._client, self._rotate = regions, client, rotate
        self._turn = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request."""
        if scope["type"] != "http":
            return
        await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return refusal(413, "request_too_large", "the request body is larger than 10 MB")
        tried: list[Region] = []
        while region := self._choose(tried):
            tried.append(region)
            if not await self._enter(region):
                continue
            try:
                return await self._exchange(region, request, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent: another region may take it
                region.probed(False)
            except httpx.TimeoutException:
                return _fault(504, "region_timeout", f"{region.name} did not answer in time")
            except _GivenUp:
                return _fault(504, "region_lost", f"{region.name} does not answer any more")
            except httpx.TransportError as error:
                log.warning("%s: %s", region.name, error)
                return _fault(502, "bad_gateway", f"{region.name} broke off the connection")
            finally:
                region.slots.release()
        return _fault(503, "region_unavailable", "no region can be reached")

    def _choose(self, tried: Sequence[Region]) -> Region | None:
        left = [region for region in self._regions if region not in tried]
        candidates = [region for region in left if region.healthy] or left
        if not candidates:
            return None
        return candidates[next(self._turn) % len(candidates)] if self._rotate else candidates[0]

    async def _enter(self, region: Region) -> bool:
        """Wait for a slot; False when the region turned unhealthy meanwhile and there is another to try."""
        entering = asyncio.ensure_future(region.slots.acquire())
        if len(self._regions) == 1 or not region.healthy or not region.slots.locked():
            return await entering
        leaving = asyncio.ensure_future(region.down.wait())
        try:
            await asyncio.wait({entering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return entering.done()
        finally:
            leaving.cancel()
            if not entering.done():
                entering.cancel()

    async def _exchange(self, region: Region, request: Request, body: bytes) -> Response:
        """The region's answer. Raises `_GivenUp` when it will hardly come, and what httpx raises."""
        forwarding, losing = map(asyncio.ensure_future, (self._forward(region, request, body), self._lost(region)))
        try:
            await asyncio.wait({forwarding, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not forwarding.done():
                raise _GivenUp
            return await forwarding
        finally:
            forwarding.cancel()
            losing.cancel()

    async def _lost(self, region: Region) -> None:
        """Returns when the region is unhealthy for `GRACE` seconds and another one is healthy."""
        while True:
            await region.down.wait()
            await asyncio.sleep(GRACE)
            if not region.healthy and any(other.healthy for other in self._regions):
                return

    async def _forward(self, region: Region, request: Request, body: bytes) -> Response:
        headers = [(name, value) for name, value in request.headers.raw if name.decode("latin-1") not in _NOT_SENT_ON]
        headers.append((b"x-forwarded-for", request.client.host.encode() if request.client else b"127.0.0.1"))
        target = region.base.encode() + request.scope["raw_path"]
        if request.scope["query_string"]:
            target += b"?" + request.scope["query_string"]
        answer = await self._client.request(request.method, target.decode("latin-1"), headers=headers, content=body)
        response = Response(answer.content, answer.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.lower().decode("latin-1") not in _NOT_SENT_BACK
        ] + [(b"content-length", str(len(answer.content)).encode()), (b"x-served-by", region.name.encode())]
        return response


async def _body(request: Request) -> bytes | None:
    """The whole body, or None as soon as it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _fault(status: int, code: str, message: str) -> Response:
    """A fault of ours: the sender may send the same request again, under the same idempotency key."""
    response = refusal(status, code, f"{message}; send the same request again", "api_error")
    response.headers["Retry-After"] = "1"
    return response


async def watch(region: Region, client: httpx.AsyncClient) -> None:
    """Probe a region for ever, with one request at a time: as long as it is not answered it counts as failed at every
    interval. So a slow region stays healthy, and none that thaws finds a queue of probes before it."""
    now = asyncio.get_running_loop().time
    due, asking = now(), None
    while True:
        asking = asking or asyncio.ensure_future(_probe(region, client))
        answered, _ = await asyncio.wait({asking}, timeout=PROBE_BUDGET)
        region.probed(bool(answered) and asking.result())
        asking = None if answered else asking
        due = max(due + PROBE_EVERY, now())  # what was missed while the machine slept is not made up for
        await asyncio.sleep(due - now())


async def _probe(region: Region, client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get(f"{region.base}/health")).status_code == 200
    except httpx.HTTPError:
        return False


async def serve(at: Settings, bases: dict[str, str]) -> None:
    """Run the edge and the regions' gateways until told to stop."""
    regions = [Region(name, bases[name], asyncio.Semaphore(at.edge_concurrency)) for name in REGIONS]
    async with AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30)
        client = await stack.enter_async_context(
            httpx.AsyncClient(timeout=httpx.Timeout(TIMEOUT, connect=2.0), limits=limits, trust_env=False)
        )
        watching = [asyncio.create_task(watch(region, client)) for region in regions]
        servers = [server(Proxy(regions, client, at.edge_routing == "round-robin"), at.edge_port)]
        servers += [server(Proxy([region], client), at.gateway_port(region.name)) for region in regions]
        serving = [asyncio.create_task(one.serve()) for one in servers]
        await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        for one in servers:
            one.should_exit = True
        await asyncio.gather(*serving, return_exceptions=True)
        for task in watching:
            task.cancel()


def main(at: Settings) -> None:
    """Serve with the API addresses that the deployment wrote."""
    asyncio.run(serve(at, json.loads(at.path("apis.json").read_text())))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    main(settings())
