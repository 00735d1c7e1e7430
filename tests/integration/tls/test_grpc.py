"""What gRPC clients make of it: grpcio (BoringSSL, as under pymilvus) and grpclib (OpenSSL)."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpclib.client import Channel
from grpclib.health.service import Health
from grpclib.server import Server

from tests.integration.tls.endpoints import DEADLINE_SECONDS, dialler, server
from tests.support.certificates import authority, client, issue, server_pems
from tests.support.waiting import until
from vecguard.generated.grpc.health.v1 import (
    HealthCheckRequest,
    HealthStub,
)
from vecguard.generated.grpc.health.v1 import (
    HealthCheckResponseServingStatus as ServingStatus,
)


class Reception(Server):
    """A gRPC server that knows its connections, to end them with the test."""

    def __init__(self):
        super().__init__([Health()])
        self.transports = set()

    def _protocol_factory(self):
        protocol = super()._protocol_factory()
        made, lost = protocol.connection_made, protocol.connection_lost

        def connection_made(transport):
            protocol.tls = transport
            self.transports.add(transport)
            made(transport)

        def connection_lost(error):
            self.transports.discard(protocol.tls)
            lost(error)

        protocol.connection_made, protocol.connection_lost = connection_made, connection_lost
        return protocol


@asynccontextmanager
async def grpc_server(tls):
    before = asyncio.all_tasks()
    running = Reception()
    await running.start("127.0.0.1", 0, ssl=tls.context)
    port = running._server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        # From Python 3.12 on wait_closed waits for clients, which are aborted here.
        running.close()
        for transport in tuple(running.transports):
            transport.abort()
        # A handshake under way is a task of asyncio's.
        await until(lambda: not running.transports and asyncio.all_tasks() <= before)


@asynccontextmanager
async def grpcio(port, ca, identity=None, *, name="localhost"):
    credentials = grpc.ssl_channel_credentials(
        ca.issued.certificate,
        identity.key.reveal() if identity else None,
        identity.certificate if identity else None,
    )
    options = [("grpc.ssl_target_name_override", name), ("grpc.enable_retries", 0)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        yield channel


async def outcome(channel):
    call = channel.unary_unary("/milvus.proto.milvus.MilvusService/Connect")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=DEADLINE_SECONDS)
    return caught.value


async def is_accepted(channel):
    return (await outcome(channel)).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def ca():
    return authority()


async def test_grpcio_connects_one_way(tmp_path, ca):
    tls = server(server_pems(tmp_path, issue(ca)))
    async with grpc_server(tls) as port, grpcio(port, ca) as channel:
        assert await is_accepted(channel)


async def test_grpcio_connects_with_its_certificate(tmp_path, ca):
    tls = server(server_pems(tmp_path, issue(ca), ca), mutual=True)
    async with grpc_server(tls) as port, grpcio(port, ca, client(ca)) as channel:
        assert await is_accepted(channel)


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(lambda _ca: None, id="none"),
        pytest.param(lambda _ca: client(authority()), id="of a foreign CA"),
        pytest.param(lambda ca: client(ca, days=-1), id="expired"),
    ],
)
async def test_grpcio_without_a_good_certificate_is_unavailable(tmp_path, ca, identity):
    tls = server(server_pems(tmp_path, issue(ca), ca), mutual=True)
    async with grpc_server(tls) as port, grpcio(port, ca, identity(ca)) as channel:
        error = await outcome(channel)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("made_by", "options", "name"),
    [
        pytest.param("other", {}, "localhost", id="another CA"),
        pytest.param("ca", {"days": -1}, "localhost", id="expired"),
        pytest.param("ca", {}, "other.example.com", id="another name"),
    ],
)
async def test_grpcio_refuses_a_server_that_is_wrong(tmp_path, ca, made_by, options, name):
    issuer = ca if made_by == "ca" else authority()
    tls = server(server_pems(tmp_path, issue(issuer, **options)))
    async with grpc_server(tls) as port, grpcio(port, ca, name=name) as channel:
        error = await outcome(channel)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_grpcio_with_the_key_of_another_certificate_is_unavailable(tmp_path, ca):
    tls = server(server_pems(tmp_path, issue(ca), ca), mutual=True)
    credentials = grpc.ssl_channel_credentials(
        ca.issued.certificate, client(ca).key.reveal(), client(ca).certificate
    )
    async with (
        grpc_server(tls) as port,
        grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel,
    ):
        error = await outcome(channel)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_open_grpcio_channel_survives_a_rotation_and_a_new_one_needs_the_new_ca(
    tmp_path, ca
):
    new_ca = authority("New")
    pems = server_pems(tmp_path, issue(ca), ca)
    tls = server(pems, mutual=True)
    async with grpc_server(tls) as port, grpcio(port, ca, client(ca)) as early:
        assert await is_accepted(early)
        pems.put_identity(issue(new_ca))
        pems.put_authorities(new_ca)
        assert tls.check()
        assert await is_accepted(early)
        async with grpcio(port, ca, client(ca)) as behind:
            assert (await outcome(behind)).code() is grpc.StatusCode.UNAVAILABLE
        async with grpcio(port, new_ca, client(new_ca)) as ahead:
            assert await is_accepted(ahead)


async def test_a_grpclib_channel_uses_the_newest_files_when_it_connects_again(tmp_path, ca):
    new_ca = authority("New")
    pems = server_pems(tmp_path / "server", issue(ca), ca)
    tls = server(pems, mutual=True)
    us = dialler(tmp_path / "client", ca, identity=client(ca), server_name="localhost")

    async def serves(channel):
        reply = await HealthStub(channel).check(HealthCheckRequest(), timeout=DEADLINE_SECONDS)
        return reply.status is ServingStatus.SERVING

    async with grpc_server(tls) as port, Channel("127.0.0.1", port, ssl=us.context) as channel:
        assert await serves(channel)
        pems.put_identity(issue(new_ca))
        pems.put_authorities(new_ca)
        assert tls.check()
        assert await serves(channel)
        server_pems(tmp_path / "client", client(new_ca), new_ca)
        assert us.check()
        channel.close()
        assert await serves(channel)
