"""Half requests at a real proxy's operations port take nothing from the public one."""

import asyncio
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.abuse.attacked_proxy import ROOT, AttackedProxy
from tests.support.metrics import scrape
from tests.support.raw_http2 import message, raw_client, request_headers

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="sets the limit of another process"),
]
#: What `descriptors.py` provides for the 400 connections of `conftest.SETTINGS`.
DESCRIPTORS = 784
HALF_REQUESTS = 1500


@contextmanager
def descriptors_of(pid: int, most: int) -> Iterator[None]:
    """Only the soft limit, which may be raised again: other tests use the same process."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


async def test_half_requests_leave_the_public_port_its_descriptors(attacked: AttackedProxy):
    host, _, port = attacked.proxy.operations_address.rpartition(":")
    loop = asyncio.get_running_loop()
    with descriptors_of(attacked.proxy.pid, DESCRIPTORS), ExitStack() as opened:
        for _ in range(HALF_REQUESTS):
            half = opened.enter_context(socket.socket())
            half.setblocking(False)
            await loop.sock_connect(half, (host, int(port)))
            await loop.sock_sendall(half, b"GET /readyz HTTP/1.1\r\nHost: x\r\n")
        # Accepted last, so all of them were.
        metrics = await scrape(attacked.proxy.operations_address)
        assert metrics.value("process_open_fds") < DESCRIPTORS / 2
        public = int(attacked.proxy.address.rpartition(":")[2])
        for _ in range(20):
            async with raw_client(public) as client:
                headers = request_headers(b"/test.Echo/Unary", (b"authorization", ROOT))
                await client.response(client.request(headers, message(b"x")))
