import asyncio
import queue
import threading

import pytest

from tests.integration.tls.endpoints import lone_client, server
from tests.support.certificates import authority, issue, server_pems
from tests.support.echo_backend import echo_backend
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay import channel, relaying


@pytest.fixture
async def backend():
    async with echo_backend() as running:
        yield running


@pytest.fixture
async def raw_backend():
    async with running_raw_backend() as running:
        yield running


@pytest.fixture
async def relay(backend):
    async with relaying(backend.port) as running:
        yield running


@pytest.fixture
async def raw_relay(raw_backend):
    """A relay in front of the raw backend."""
    async with relaying(raw_backend.port) as running:
        yield running


@pytest.fixture
async def client(relay):
    async with channel(relay.target) as opened:
        yield opened


@pytest.fixture
def tls_contexts(tmp_path):
    """Contexts of a server and of a client that trusts it."""
    ca = authority("Public CA")
    client = lone_client(tmp_path / "client", ca)
    client.set_alpn_protocols(["h2"])
    return server(server_pems(tmp_path / "server", issue(ca))).context, client


@pytest.fixture
def threaded_relay():
    """The target of a relay that runs on a loop in another thread."""
    ready: queue.Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve():
        async with echo_backend() as backend, relaying(backend.port) as relay:
            done = asyncio.Event()
            ready.put((relay.target, asyncio.get_running_loop(), done))
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    target, loop, done = ready.get(timeout=10.0)
    try:
        yield target
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(timeout=20.0)
