"""Half requests at a real proxy's operations port take nothing from the public one."""

import asyncio
import resource
import socket
import sys
from contextlib import ExitStack

import pytest

from tests.integration.abuse.besieged import ROOT, Besieged
from tests.support.metrics import scrape
from tests.support.raw_http2 import message, raw_client, request_headers

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="sets the limit of another process"),
]
#: What `descriptors.py` provides for the 400 connections of `conftest.SETTINGS`.
DESCRIPTORS = 784
HALF_REQUESTS = 1500


async def test_half_requests_leave_the_public_port_its_descriptors(besieged: Besieged):
    resource.prlimit(besieged.proxy.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    host, _, port = besieged.proxy.operations_address.rpartition(":")
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        for _ in range(HALF_REQUESTS):
            half = opened.enter_context(socket.socket())
            half.setblocking(False)
            await loop.sock_connect(half, (host, int(port)))
            await loop.sock_sendall(half, b"GET /readyz HTTP/1.1\r\nHost: x\r\n")
        # Accepted last, so all of them were.
        metrics = await scrape(besieged.proxy.operations_address)
        assert metrics.value("process_open_fds") < DESCRIPTORS / 2
        public = int(besieged.proxy.address.rpartition(":")[2])
        for _ in range(20):
            async with raw_client(public) as client:
                headers = request_headers(b"/test.Echo/Unary", (b"authorization", ROOT))
                await client.response(client.request(headers, message(b"x")))
