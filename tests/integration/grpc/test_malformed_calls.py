"""What a caller sends that is no call of gRPC: it gets a status, and the log stays short."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import grpc
import pytest
from grpclib.const import Status
from h2.errors import ErrorCodes

from tests.support.logs import written_log
from tests.support.raw_http2 import message, raw_client, request_headers, round_trip
from tests.support.relay import channel
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.generated.grpc.health import v1 as pb
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.codec import HotCodec
from vecguard.grpc.compression import ACCEPTED
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets

TIMEOUT = 10.0
CHECK, WATCH = b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/Watch"
LIMIT = 1000
GOOD = message(b"")
ZIPPED = gzip.compress(b"\x0a\x01x")


class Service(pb.HealthBase):
    async def check(self, health_check_request):
        if health_check_request.service == "wait":
            await asyncio.Event().wait()
        if health_check_request.service == "bug":
            raise KeyError("hunter2" * 1000)
        return pb.HealthCheckResponse()

    async def watch(self, health_check_request):
        while True:
            yield pb.HealthCheckResponse()


class RootCoord(internal.RootCoordBase):
    async def get_credential(self, get_credential_request):
        return internal.GetCredentialReply()

    async def session(self, session_request_iterator):
        async for _ in session_request_iterator:
            yield internal.SessionReply()


@asynccontextmanager
async def serving(*services, **more):
    server = GrpcServer(services, max_message_bytes=LIMIT, **more)
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="port", backlog=1)
    port = sockets[0].getsockname()[1]
    server.listen(sockets)
    try:
        yield server, port
    finally:
        await server.drain(0.0)


@pytest.fixture
async def running():
    async with serving(Service()) as (server, port):
        server.port = port
        yield server


async def idle(server):
    async def nothing_runs():
        return not server._running()

    await eventually(nothing_runs)


def without(name, *more, path=CHECK):
    return [*(header for header in request_headers(path) if header[0] != name), *more]


def encoded(encoding):
    return request_headers(CHECK, (b"grpc-encoding", encoding))


PLAIN = request_headers(CHECK)
INTERNAL, UNIMPLEMENTED = Status.INTERNAL, Status.UNIMPLEMENTED
TOO_LARGE = Status.RESOURCE_EXHAUSTED
CALLS = {
    "compressed without an encoding": (PLAIN, message(ZIPPED, flag=1), INTERNAL),
    "compressed by identity": (encoded(b"identity"), message(ZIPPED, flag=1), INTERNAL),
    "an unknown encoding": (encoded(b"snappy"), message(ZIPPED, flag=1), UNIMPLEMENTED),
    "foreign bytes as an encoding": (encoded(b"\xff"), message(ZIPPED, flag=1), UNIMPLEMENTED),
    "corrupt": (encoded(b"gzip"), message(ZIPPED[:-4], flag=1), INTERNAL),
    "a bomb": (encoded(b"gzip"), message(gzip.compress(bytes(2**20))[:900], flag=1), TOO_LARGE),
    "an unknown flag": (encoded(b"gzip"), message(ZIPPED, flag=2), INTERNAL),
    "too long": (PLAIN, message(bytes(LIMIT + 1)), TOO_LARGE),
    "a length without end": (PLAIN, b"\0\xff\xff\xff\xff", TOO_LARGE),
    "no message": (PLAIN, b"", UNIMPLEMENTED),
    "no message to watch": (request_headers(WATCH), b"", UNIMPLEMENTED),
    "half a prefix": (PLAIN, b"\0\0", INTERNAL),
    "half a message": (PLAIN, message(b"\x0a\x05hello")[:-1], INTERNAL),
    "a length alone": (PLAIN, message(b"\x0a\x05hello")[:5], INTERNAL),
    "no protobuf": (PLAIN, message(b"\xff" * 20), INTERNAL),
    "half a tag": (PLAIN, message(b"\xff\xff"), INTERNAL),
    "a name that is cut": (PLAIN, message(b"\x0a\x05bug"), INTERNAL),
    "too many fields": (PLAIN, message(b"\x78\x00" * 400), TOO_LARGE),
    "too many fields by gzip": (
        encoded(b"gzip"),
        message(gzip.compress(b"\x78\x00" * 400), flag=1),
        TOO_LARGE,
    ),
    "no UTF-8": (PLAIN, message(b"\x0a\x01\xff"), INTERNAL),
    "another type": (PLAIN, message(b"\x08\x01"), INTERNAL),
    "no such method": (request_headers(CHECK + b"s"), GOOD, UNIMPLEMENTED),
    "no such service": (request_headers(b"/a.B/C"), GOOD, UNIMPLEMENTED),
    "a path of foreign bytes": (request_headers(b"\xff"), GOOD, UNIMPLEMENTED),
    "a timeout of words": (request_headers(CHECK, (b"grpc-timeout", b"soon")), GOOD, INTERNAL),
    "a timeout without end": (
        request_headers(CHECK, (b"grpc-timeout", b"9" * 4000 + b"H")),
        GOOD,
        INTERNAL,
    ),
    "a timeout of nothing": (
        request_headers(CHECK, (b"grpc-timeout", b"0n")),
        GOOD,
        Status.DEADLINE_EXCEEDED,
    ),
    "binary metadata": (request_headers(CHECK, (b"k-bin", b"A")), GOOD, INTERNAL),
    "another format": (
        without(b"content-type", (b"content-type", b"application/grpc+json")),
        GOOD,
        UNIMPLEMENTED,
    ),
    "another content type": (
        without(b"content-type", (b"content-type", b"text/plain")),
        GOOD,
        INTERNAL,
    ),
    "no content type": (without(b"content-type"), GOOD, INTERNAL),
    "no path": (without(b":path"), GOOD, INTERNAL),
    "no method": (without(b":method"), GOOD, INTERNAL),
}


@pytest.mark.parametrize(("headers", "body", "status"), CALLS.values(), ids=CALLS)
async def test_a_malformed_call_gets_a_status_and_no_line(running, headers, body, status):
    with written_log() as log:
        async with raw_client(running.port) as client:
            begun, _, trailers = await client.response(client.request(headers, body))
        await idle(running)
    assert dict(begun + trailers)[b"grpc-status"] == str(status.value).encode()
    assert log.getvalue() == ""


ODD = {
    "with parameters": (
        without(b"content-type", (b"content-type", b"application/grpc; v=1")),
        GOOD,
    ),
    "protobuf": (without(b"content-type", (b"content-type", b"application/grpc+proto")), GOOD),
    "without te": (without(b"te"), GOOD),
    "an unknown encoding that is not used": (encoded(b"snappy"), GOOD),
    "gzip": (encoded(b"gzip"), message(ZIPPED, flag=1)),
    "two messages": (PLAIN, GOOD * 2),
}


@pytest.mark.parametrize(("headers", "body"), ODD.values(), ids=ODD)
async def test_an_odd_call_is_answered(running, headers, body):
    async with raw_client(running.port) as client:
        _, _, trailers = await client.response(client.request(headers, body))
    assert dict(trailers)[b"grpc-status"] == b"0"


@pytest.mark.parametrize(
    ("header", "http_status"),
    [((b":method", b"GET"), b"405"), ((b"content-type", b"application/json"), b"415")],
)
async def test_what_is_not_of_grpc_gets_http_s_status_too(running, header, http_status):
    headers = [header if name == header[0] else (name, value) for name, value in PLAIN]
    async with raw_client(running.port) as client:
        begun, _, _ = await client.response(client.request(headers, GOOD))
    assert begun[0] == (b":status", http_status)


async def test_an_unknown_encoding_is_answered_with_those_that_are_accepted(running):
    async with raw_client(running.port) as client:
        mine = client.request(encoded(b"snappy"), message(ZIPPED, flag=1))
        begun, _, _ = await client.response(mine)
    assert dict(begun)[b"grpc-accept-encoding"] == ACCEPTED.encode()


async def test_calls_that_are_cancelled_or_late_leave_no_line(running):
    wait = bytes(pb.HealthCheckRequest(service="wait"))
    with written_log() as log:
        async with channel(f"127.0.0.1:{running.port}") as client:
            late = client.unary_unary(CHECK.decode())(wait, timeout=0.05)
            assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # An endless answer stands still at the end of its window, and costs no more.
        window = {"initial_window": 1000, "acknowledges": False}
        async with raw_client(running.port, **window) as client:
            for headers, body in ((PLAIN, wait), (request_headers(WATCH), b""), (PLAIN, b"")):
                for ends in (True, False):
                    early = client.request(headers, message(body), end=ends)
                    client.h2.reset_stream(early, ErrorCodes.CANCEL)
                    client.flush()
                    mine = client.request(headers, message(body), end=ends)
                    await round_trip(client)
                    if mine in client.h2.streams and not client.h2.streams[mine].closed:
                        client.h2.reset_stream(mine, ErrorCodes.CANCEL)
                        client.flush()
            timed = request_headers(CHECK, (b"grpc-timeout", b"10m"))
            begun, _, _ = await client.response(client.request(timed, message(wait)))
            assert dict(begun)[b"grpc-status"] == b"4"
            client.request(request_headers(WATCH), GOOD)
            await round_trip(client)
        await idle(running)
    assert log.getvalue() == ""


async def test_a_bug_costs_some_short_lines_however_often_it_is_met(running):
    with written_log() as log:
        async with raw_client(running.port) as client:
            bug = message(bytes(pb.HealthCheckRequest(service="bug")))
            for _ in range(100):
                begun, _, _ = await client.response(client.request(PLAIN, bug))
                assert dict(begun)[b"grpc-status"] == b"13"
    lines = log.getvalue().splitlines()
    assert 1 <= len(lines) <= 20
    assert all("rpc_failed" in line and "KeyError" in line for line in lines)
    assert max(map(len, lines)) < 2000
    assert "hunter2" not in log.getvalue()
    assert "Traceback" not in log.getvalue()


@pytest.mark.parametrize("body", [b"\xff" * 20, b"\x0a\x01\xff", b"\x08\x01"])
async def test_a_server_with_decoders_of_its_own_is_no_exception(body):
    def decode(data):
        raise ValueError("hunter2")

    codec = HotCodec({internal.SessionRequest: decode})
    with written_log() as log:
        async with serving(RootCoord(), codec=codec) as (_, port), raw_client(port) as client:
            for name in (b"GetCredential", b"Session"):
                path = b"/vecguard.internal.v1.RootCoord/" + name
                begun, _, _ = await client.response(
                    client.request(request_headers(path), message(body))
                )
                assert dict(begun)[b"grpc-status"] == b"13"
                assert dict(begun)[b"grpc-message"] == b"the request is malformed"
    assert log.getvalue() == ""
