"""Clients that keep a proxy busy below all other limits, and what all others see of it.

The bounds prove that no client is stalled, and nothing about speed, which `tests/bench/fair`
measures.
Without turns, health checks wait for ten seconds and more, calls fail, and the session with root
coord is lost.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, StreamEnded

from deploy.local.ports import free_ports
from deploy.local.readiness import speaks_http2
from deploy.local.stack import ProxyProcess
from tests.bench.echo import METHOD
from tests.bench.fair.flood import Flood
from tests.bench.fair.honest import honest
from tests.bench.fair.loads import flooded
from tests.bench.peers.programs import running
from tests.bench.processes import many_descriptors, resident_bytes
from tests.e2e.stacks import running_stack
from tests.support.credentials import header_of
from tests.support.metrics import scrape
from tests.support.raw_http2 import Peer, message, raw_client, request_headers
from vecguard.proxy.relay.limits import RelayLimit

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

STALLED_MS = 2000
GROWN_BYTES = 64 * 2**20
SECONDS = 4.0
ADDRESSES = 4
RIGHT = header_of("root", "Milvus")
#: Wrong logins in flight: a failure that is limited is answered after a second.
AT_A_TIME = 250


@dataclass
class Proxy:
    """A proxy with default limits."""

    process: ProxyProcess

    @property
    def port(self) -> int:
        return int(self.process.address.rpartition(":")[2])

    async def sessions(self) -> float:
        metrics = await scrape(self.process.operations_address)
        return metrics.value("vecguard_proxy_sessions_opened_total")

    async def hits(self, limit: RelayLimit) -> float:
        metrics = await scrape(self.process.operations_address)
        return metrics.value("vecguard_relay_limit_hits_total", limit=limit)

    async def is_shared_under(self, flood: Flood) -> None:
        """A client with a known login, health checks and the session go on meanwhile."""
        sessions, resident = await self.sessions(), resident_bytes(self.process.pid)
        grown = 0
        operations = self.process.operations_address
        async with (
            honest(self.process.address, operations) as experience,
            flooded(flood) as seen,
        ):
            for _ in range(int(SECONDS / 0.1)):
                await asyncio.sleep(0.1)
                grown = max(grown, resident_bytes(self.process.pid) - resident)
        assert experience.failures == []
        assert max(experience.calls) < STALLED_MS
        assert max(experience.probes) < STALLED_MS
        assert len(experience.calls) > SECONDS
        assert seen["sent_bytes"] > 0
        assert await self.sessions() == sessions
        assert grown <= GROWN_BYTES

    def flood(self, kind, connections, **details) -> Flood:
        addresses = min(connections, ADDRESSES)
        return Flood(
            kind, "127.0.0.1", self.port, connections=connections, addresses=addresses, **details
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    (port,) = free_ports(1)
    settings = {"backend": {"address": f"127.0.0.1:{port}"}, "audit": {"output": "off"}}
    # In a process of its own: this one is the honest client.
    argv = (sys.executable, "-m", "tests.bench.echo", str(port))
    with many_descriptors():
        async with (
            running("echo", argv, speaks_http2(port)),
            running_stack(tmp_path_factory.mktemp("turns"), settings=settings) as stack,
        ):
            proxy = Proxy(stack.proxies[0])
            async with honest(proxy.process.address, proxy.process.operations_address):
                pass  # root's login is known from now on, whatever else comes from this address
            yield proxy


@pytest.mark.parametrize(
    ("kind", "connections", "window"),
    [("no_login", 300, 900), ("known_wrong", 400, 990), ("new_wrong", 300, 900)],
)
async def test_a_flood_of_refused_calls_holds_up_no_others(proxy, kind, connections, window):
    await proxy.is_shared_under(proxy.flood(kind, connections, window=window))


@pytest.mark.parametrize("kind", ["small_fields", "static_indices", "table_updates"])
async def test_frames_that_are_dear_to_read_hold_up_no_others(proxy, kind):
    await proxy.is_shared_under(proxy.flood(kind, 5))


def call(client: Peer, login: bytes, body: bytes = b"") -> int:
    return client.request(request_headers(METHOD.encode(), (b"authorization", login)), body)


async def answered(client: Peer, calls: int) -> None:
    """So many calls have been answered, or the connection is gone."""

    def it_is_so() -> bool:
        ended = sum(isinstance(event, StreamEnded) for event in client.events)
        return ended >= calls or client.closed.is_set()

    await client.until(it_is_so)


async def test_a_client_whose_thousand_calls_are_refused_loses_its_connection(proxy):
    before = await proxy.hits(RelayLimit.REFUSED_CALLS)
    async with raw_client(proxy.port) as client:
        # Logins that nothing is known of are refused between turns, and cost few rests.
        for sent in range(0, 1000, AT_A_TIME):
            assert not client.closed.is_set()
            for number in range(sent, sent + AT_A_TIME):
                call(client, header_of("root", f"wrong-{number}"))
            await answered(client, sent + AT_A_TIME)
        ended = await client.wait_for(ConnectionTerminated)
        assert ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        await client.wait_closed()
    assert await proxy.hits(RelayLimit.REFUSED_CALLS) == before + 1


async def test_refused_calls_of_others_on_the_same_connection_cost_right_logins_nothing(proxy):
    before = await proxy.hits(RelayLimit.REFUSED_CALLS)
    async with raw_client(proxy.port) as client:
        for _ in range(60):
            for _ in range(49):
                call(client, b"garbage")
            right = call(client, RIGHT, message(b"x"))
            await answered(client, 50)
            _, body, trailers = await client.response(right)
            assert (body, dict(trailers)[b"grpc-status"]) == (message(b"x"), b"0")
            client.events.clear()
        assert not client.closed.is_set()
    assert await proxy.hits(RelayLimit.REFUSED_CALLS) == before
