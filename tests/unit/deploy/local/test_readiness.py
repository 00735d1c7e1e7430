import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.local.readiness import decides_logins


@asynccontextmanager
async def answering(status: int, body: str) -> AsyncIterator[int]:
    """An HTTP server that gives every request this answer; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.0 {status} Any\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


def report(*, logins: bool) -> str:
    return json.dumps({"ready": True, "checks": {"logins": {"healthy": logins}}})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, report(logins=True), True),
        # Authorization is off: it is ready, but it has no session with root coord yet.
        (200, report(logins=False), False),
        (503, report(logins=True), False),
        (200, report(logins=True)[:-4], False),
        (200, "", False),
    ],
)
async def test_a_proxy_decides_logins_when_it_is_ready_and_has_a_session(status, body, expected):
    async with answering(status, body) as port:
        assert await decides_logins(port)() is expected


async def test_a_port_without_a_server_decides_no_logins():
    async with answering(200, "") as port:
        pass
    assert await decides_logins(port)() is False
