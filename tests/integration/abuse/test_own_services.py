"""Calls to the proxy's own services that are begun and not gone on with, or go on for ever."""

import asyncio
import base64
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hpack import Encoder

from tests.integration.abuse.attacked_proxy import ATTACKERS, ROOT, AttackedProxy
from tests.support.credentials import header_of
from tests.support.frame_sequences import frame
from tests.support.raw_http2 import message, request_headers
from vecguard.generated.grpc.health.v1 import HealthCheckRequest
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.proxy.http2 import frames

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEALTH = "/grpc.health.v1.Health/"
STREAMS = 1000
#: More than the connections to the proxy's own services take together.
CONNECTIONS = 5
PONG = frame(frames.PING, frames.ACK, 0, b"attacked")
#: A user of its own: the calls of one user share what one user may have.
ATTACKER, PASSWORD = "eve", "attacker"


@asynccontextmanager
async def calling(attacked, path, body):
    """A client with as many open calls as a connection may have."""
    host, _, port = attacked.proxy.address.rpartition(":")
    encoder = Encoder()
    login = header_of(ATTACKER, PASSWORD)
    calls = b"".join(
        frame(
            frames.HEADERS,
            frames.END_HEADERS,
            number,
            encoder.encode(request_headers(path, (b"authorization", login))),
        )
        + (frame(frames.DATA, frames.END_STREAM, number, body) if body else b"")
        for number in range(1, 2 * STREAMS, 2)
    )
    with socket.socket() as client:
        client.setblocking(False)
        client.bind((ATTACKERS[0], 0))
        await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(frames.PREFACE + frame(frames.SETTINGS, 0, 0, b"") + calls)
        writer.write(frame(frames.PING, 0, 0, b"attacked"))
        heard = b""
        while PONG not in heard:
            read = await reader.read(2**20)
            assert read, "the attacker was cut"
            heard = heard[-len(PONG) :] + read
        reading = asyncio.create_task(_thrown_away(reader))
        try:
            yield
        finally:
            reading.cancel()
            writer.transport.abort()


async def create_attacker(attacked):
    """Does nothing where the user exists already."""
    request = pb.CreateCredentialRequest(
        username=ATTACKER, password=base64.b64encode(PASSWORD.encode()).decode()
    )
    create = attacked.honest.unary_unary("/milvus.proto.milvus.MilvusService/CreateCredential")
    await create(bytes(request), metadata=(("authorization", ROOT.decode()),), timeout=30.0)


async def _thrown_away(reader):
    while await reader.read(2**20):
        pass


@pytest.mark.parametrize(
    ("path", "body"),
    [(b"Watch", message(b"")), (b"Check", b"")],
    ids=["watching", "never asking"],
)
async def test_nobody_else_s_question_about_the_health_waits(attacked: AttackedProxy, path, body):
    await create_attacker(attacked)
    async with AsyncExitStack() as attack:
        for _ in range(CONNECTIONS):
            await attack.enter_async_context(calling(attacked, HEALTH.encode() + path, body))
        metadata = (("authorization", ROOT.decode()),)
        request = bytes(HealthCheckRequest())
        check = attacked.honest.unary_unary(f"{HEALTH}Check")
        assert await check(request, metadata=metadata, timeout=30.0)
        watch = attacked.honest.unary_stream(f"{HEALTH}Watch")(
            request, metadata=metadata, timeout=30.0
        )
        assert await watch.read()
        watch.cancel()
