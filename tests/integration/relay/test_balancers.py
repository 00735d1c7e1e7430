"""Connections and calls that load balancers make on behalf of clients, on real sockets."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import pytest

from tests.support.echo_backend import echo_backend
from tests.support.logs import every_log_line
from tests.support.policies import bounds_with, connection_limits_with, lifetime_with
from tests.support.proxy_headers import LOCAL, TCP4, TCP6, addresses, v1, v2
from tests.support.raw_http2 import OK, Peer, message, request_headers, round_trip
from tests.support.relay import relaying
from tests.support.relay_parts import ScriptedGatekeeper
from tests.support.waiting import eventually
from vecguard.networks import Networks
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.limits import Limit
from vecguard.proxy.principal import ANONYMOUS
from vecguard.proxy.relay.clients.balancers import BalancerPolicy, HeaderFault
from vecguard.proxy.relay.limits import RelayLimit
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))

TIMEOUT = 10.0
HERE, NOWHERE = ["127.0.0.0/8"], []
CLIENT = "192.0.2.7"
HEADERS = [
    pytest.param(v1(CLIENT), CLIENT, id="v1"),
    pytest.param(v2(TCP4, addresses(CLIENT)), CLIENT, id="v2"),
    pytest.param(v2(TCP6, addresses("2001:db8::7", "::1")), "2001:db8::7", id="v2 IPv6"),
    pytest.param(v2(TCP4, addresses(CLIENT, port=0)), CLIENT, id="v2 port 0"),
    pytest.param(v2(0, command=LOCAL), "127.0.0.1", id="v2 LOCAL"),
    pytest.param(b"PROXY UNKNOWN\r\n", "127.0.0.1", id="v1 UNKNOWN"),
]


def behind(proxy_header=NOWHERE, *, forwarded_for=NOWHERE, hops=1):
    return BalancerPolicy(Networks.parse(proxy_header), Networks.parse(forwarded_for), hops)


@asynccontextmanager
async def relay_behind(policy, **options):
    options.setdefault("policy", HeaderPolicy(shows_peer=True))
    async with (
        echo_backend() as backend,
        relaying(backend.port, balancers=policy, **options) as relay,
    ):
        yield relay, backend


@asynccontextmanager
async def dialled(relay, *parts, tls=None, source="127.0.0.1"):
    """A client whose connection begins with these bytes, each in a packet of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, local_addr=(source, 0))
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    if tls is not None:
        await writer.start_tls(tls, server_hostname="localhost")
    peer = Peer(reader, writer, client_side=True)
    try:
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def connected(relay, said=b"", source="127.0.0.1"):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, local_addr=(source, 0))
    writer.write(said)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def closed(reader):
    async with asyncio.timeout(TIMEOUT):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def empty(relay):
    async def no_connection_is_counted():
        return not relay.listener.connections

    await eventually(no_connection_is_counted)


async def seen_of(client, backend, *fields):
    """Makes a call, and returns what the backend has seen of it."""
    mine = client.request(request_headers(b"/a.B/Unary", *fields), message(b"x"))
    assert OK[0] in (await client.response(mine))[2]
    return backend.calls[-1]


async def host_of(client, backend, *fields):
    """Makes a call, and returns the address of its client."""
    (host,) = (await seen_of(client, backend, *fields)).values("x-vecguard-peer")
    return host


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_calls_come_from_the_address_in_the_header(loop, with_tls, tls_contexts):
    server, trusting = tls_contexts if with_tls else (None, None)

    async def run():
        async with relay_behind(behind(HERE), tls=server) as (relay, backend):
            for header in HEADERS:
                (data, host) = header.values
                async with dialled(relay, data, tls=trusting) as client:
                    assert await host_of(client, backend) == host
                    (link,) = relay.listener._reception.links
                    assert (link.host(), link.origin) == (host, host)
                    assert link.peer.rpartition(":")[0].strip("[]") == host
                await empty(relay)
            assert not any(relay.listener.balancers.closed.values())

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("header", [v1(CLIENT), v2(TCP4, addresses(CLIENT))], ids=["v1", "v2"])
def test_a_header_is_read_from_packets_of_one_byte_and_takes_nothing_else(loop, header):
    async def run():
        async with relay_behind(behind(HERE)) as (relay, backend):
            bytes_of_it = [header[at : at + 1] for at in range(len(header))]
            async with dialled(relay, *bytes_of_it) as client:
                assert await host_of(client, backend) == CLIENT

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (frames.PREFACE, HeaderFault.MISSING),
        (b"\x16\x03\x01\x00\x05hello", HeaderFault.MISSING),
        (b"GET / HTTP/1.1\r\n\r\n", HeaderFault.MISSING),
        (b"PROXY TCP4 here there 1 2\r\n", HeaderFault.MALFORMED),
        (b"PROXY " + b"x" * 200, HeaderFault.MALFORMED),
        (v2(TCP4, size=0xFFFF), HeaderFault.MALFORMED),
    ],
)
async def test_a_balancer_without_a_right_header_is_closed_at_once(said, fault):
    with every_log_line() as lines:
        async with relay_behind(behind(HERE)) as (relay, _):
            async with connected(relay, said) as (reader, _):
                assert await closed(reader) == b""
            await empty(relay)
            assert relay.listener.balancers.closed[fault] == 1
    (line,) = [line for line in lines if line["event"] == "proxy_header_refused"]
    assert line["log_level"] == "warning"
    assert line["reason"] == fault
    assert line["peer"].startswith("127.0.0.1:")


async def test_headers_of_strangers_do_not_hide_the_faults_of_a_balancer_in_the_log():
    with every_log_line() as lines:
        async with relay_behind(behind(["127.0.0.9"])) as (relay, _):
            for _ in range(30):
                async with connected(relay, v1(CLIENT)) as (reader, _):
                    await closed(reader)
            async with connected(relay, frames.PREFACE, source="127.0.0.9") as (reader, _):
                await closed(reader)
            assert relay.listener.balancers.closed[HeaderFault.UNTRUSTED] == 30
    reasons = [line["reason"] for line in lines if line["event"] == "proxy_header_refused"]
    assert reasons == ["untrusted"] * 20 + ["missing"]


async def test_a_header_that_is_cut_off_is_malformed():
    async with relay_behind(behind(HERE)) as (relay, _):
        async with connected(relay, v1(CLIENT)[:20]) as (reader, writer):
            writer.write_eof()
            assert await closed(reader) == b""
        await empty(relay)
        assert relay.listener.balancers.closed[HeaderFault.MALFORMED] == 1


async def test_a_health_check_without_a_byte_is_no_fault():
    with every_log_line() as lines:
        async with relay_behind(behind(HERE)) as (relay, _):
            for said in (b"", v2(0, command=LOCAL)):
                async with connected(relay, said) as (reader, writer):
                    writer.write_eof()
                    assert frames.PREFACE not in await closed(reader)
                await empty(relay)
            assert not any(relay.listener.balancers.closed.values())
    assert [line for line in lines if line["log_level"] != "debug"] == []


@pytest.mark.parametrize("header", [v1(CLIENT), v2(TCP4, addresses(CLIENT))], ids=["v1", "v2"])
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("trusted", [[], ["127.0.0.9"]], ids=["off", "another"])
async def test_a_header_of_others_is_refused_and_named(header, with_tls, trusted, tls_contexts):
    server, _ = tls_contexts if with_tls else (None, None)
    with every_log_line() as lines:
        async with relay_behind(behind(trusted), tls=server) as (relay, _):
            async with connected(relay, header + frames.PREFACE) as (reader, _):
                await closed(reader)
            await empty(relay)
            assert relay.listener.balancers.closed == {
                **dict.fromkeys(HeaderFault, 0),
                HeaderFault.UNTRUSTED: 1,
            }
    (line,) = [line for line in lines if line["event"] == "proxy_header_refused"]
    assert line["peer"].startswith("127.0.0.1:")
    assert "proxy.proxyProtocol.trusted" in line["detail"]


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
async def test_a_client_gains_nothing_by_a_header_of_its_own_behind_that_of_the_balancer(
    with_tls, tls_contexts
):
    server, _ = tls_contexts if with_tls else (None, None)
    with every_log_line() as lines:
        async with relay_behind(behind(HERE), tls=server) as (relay, _):
            async with connected(relay, v1(CLIENT) + v1("10.9.9.9") + frames.PREFACE) as (
                reader,
                _,
            ):
                await closed(reader)
            await empty(relay)
            assert relay.listener.balancers.closed[HeaderFault.UNTRUSTED] == 1
    (line,) = [line for line in lines if line["event"] == "proxy_header_refused"]
    assert line["peer"] == f"{CLIENT}:50000"


async def test_a_header_has_the_time_of_a_handshake():
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=0.2))
    async with relay_behind(behind(HERE), bounds=bounds) as (relay, _):
        for said in (b"", v1(CLIENT)[:-1]):
            async with connected(relay, said) as (reader, _):
                assert await closed(reader) == b""
        await empty(relay)
        assert relay.listener.balancers.closed[HeaderFault.LATE] == 2
        assert relay.hits.counts[RelayLimit.HANDSHAKE] == 2


async def test_connections_count_for_the_balancer_until_their_headers_and_then_for_clients():
    bounds = bounds_with(connections=connection_limits_with(connections_per_address=2))
    async with relay_behind(behind(HERE), bounds=bounds) as (relay, backend):
        # Two others wait for their headers; the third displaces the oldest of them.
        async with connected(relay) as (first, _), connected(relay) as (_, writer):

            async def both_wait():
                return relay.listener.connections == 2

            await eventually(both_wait)
            async with connected(relay):
                assert await closed(first) == b""
                # A header makes room at the balancer's address, and takes it at the client's.
                writer.write(v1("192.0.2.1"))
                async with dialled(relay, v1("192.0.2.2")) as two:
                    assert await host_of(two, backend) == "192.0.2.2"
                    async with dialled(relay, v1("192.0.2.2")) as three:
                        assert await host_of(three, backend) == "192.0.2.2"
                        async with connected(relay, v1("192.0.2.2")) as (refused, _):
                            assert await closed(refused) == b""
        await empty(relay)
        assert not relay.listener.connection_limits._origins


async def test_a_connection_that_is_reset_within_its_header_is_no_handshake_in_time():
    async with relay_behind(behind(HERE)) as (relay, _):
        async with connected(relay, v1(CLIENT)[:20]) as (_, writer):

            async def it_waits():
                return relay.listener.connections == 1

            await eventually(it_waits)
            linger = struct.pack("ii", 1, 0)  # close sends a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await empty(relay)
        assert relay.hits.counts[RelayLimit.HANDSHAKE] == 0
        assert not any(relay.listener.balancers.closed.values())


async def test_a_drain_ends_connections_that_wait_for_their_header():
    async with relay_behind(behind(HERE)) as (relay, _), connected(relay) as (reader, _):

        async def it_waits():
            return relay.listener.connections == 1

        await eventually(it_waits)
        await relay.listener.drain(0.0)
        assert await closed(reader) == b""


FORWARDED = b"x-forwarded-for"


async def test_a_call_comes_from_the_entry_that_the_trusted_proxy_has_appended():
    async with relay_behind(behind(forwarded_for=HERE)) as (relay, backend), dialled(relay) as peer:
        for value, host in (
            (b"192.0.2.1", "192.0.2.1"),
            (b"192.0.2.9, 192.0.2.2", "192.0.2.2"),
            (b"[2001:db8::7]:1", "2001:db8::7"),
        ):
            assert await host_of(peer, backend, (FORWARDED, value)) == host
        fields = (FORWARDED, b"192.0.2.9"), (FORWARDED, b"192.0.2.3")
        assert await host_of(peer, backend, *fields) == "192.0.2.3"
        assert relay.listener.balancers.unusable == 0


async def test_without_a_usable_entry_the_balancer_itself_is_the_client():
    policy = behind(forwarded_for=HERE, hops=2)
    async with relay_behind(policy) as (relay, backend), dialled(relay) as peer:
        for values in ([], [b"192.0.2.1"], [b"192.0.2.1, what, 10.0.0.1"]):
            fields = [(FORWARDED, value) for value in values]
            assert await host_of(peer, backend, *fields) == "127.0.0.1"
        assert relay.listener.balancers.unusable == 3


@pytest.mark.parametrize("trusted", [[], ["127.0.0.9"]], ids=["off", "another"])
async def test_the_header_of_others_means_nothing_and_is_passed_on(trusted):
    policy = behind(forwarded_for=trusted)
    async with relay_behind(policy) as (relay, backend), dialled(relay) as peer:
        seen = await seen_of(peer, backend, (FORWARDED, b"192.0.2.1"))
        assert seen.values("x-vecguard-peer") == ["127.0.0.1"]
        assert seen.values("x-forwarded-for") == ["192.0.2.1"]
        assert relay.listener.balancers.unusable == 0


async def test_a_balancer_of_calls_behind_one_of_connections_is_trusted_by_its_own_address():
    policy = behind(HERE, forwarded_for=["10.0.0.5"])
    async with relay_behind(policy) as (relay, backend):
        async with dialled(relay, v1("10.0.0.5")) as peer:
            assert await host_of(peer, backend, (FORWARDED, b"192.0.2.1")) == "192.0.2.1"
        async with dialled(relay, v1("10.0.0.6")) as peer:
            assert await host_of(peer, backend, (FORWARDED, b"192.0.2.1")) == "10.0.0.6"


GUESS = request_headers(b"/a.B/Unary", (FORWARDED, b"192.0.2.1"))


@asynccontextmanager
async def guessing_behind_a_balancer():
    """A balancer's connection, on which every call is refused."""
    gatekeeper = ScriptedGatekeeper()
    gatekeeper.refuse(WrongCredentialsError())
    async with (
        relay_behind(behind(forwarded_for=HERE), gatekeeper=gatekeeper) as (relay, backend),
        dialled(relay) as peer,
    ):
        yield gatekeeper, relay, backend, peer


async def test_refused_calls_neither_slow_nor_close_the_connection_of_a_balancer():
    async with guessing_behind_a_balancer() as (gatekeeper, relay, backend, peer):
        # A client that connects by itself is slowed after 10, and closed after 1,000.
        for _ in range(11):
            for stream in [peer.request(GUESS) for _ in range(100)]:
                await peer.response(stream)
        (link,) = relay.listener._reception.links
        assert len(gatekeeper.refused) == 1_100
        assert link.take_rest() == 0
        gatekeeper.decide = None
        assert await host_of(peer, backend, (FORWARDED, b"192.0.2.2")) == "192.0.2.2"


async def test_a_client_that_cancels_its_calls_does_not_close_the_connection_of_a_balancer():
    async with guessing_behind_a_balancer() as (gatekeeper, relay, backend, peer):
        # A client that connects by itself is closed after 1,000 within a second.
        for _ in range(1_500):
            peer.h2.reset_stream(peer.request(GUESS))
        peer.flush()
        await round_trip(peer)
        gatekeeper.decide = None
        assert await host_of(peer, backend, (FORWARDED, b"192.0.2.2")) == "192.0.2.2"
        assert relay.hits.counts[Limit.USELESS_FRAMES] == 0


async def test_refused_logins_and_anonymous_shares_count_for_the_client_of_the_call():
    async def refuse(authorization):
        raise WrongCredentialsError

    async def admit(authorization):
        return ANONYMOUS

    gatekeeper = ScriptedGatekeeper(refuse)
    clients = "192.0.2.1", "192.0.2.2"
    async with (
        relay_behind(behind(forwarded_for=HERE), gatekeeper=gatekeeper) as (relay, _),
        dialled(relay) as peer,
    ):
        calls = [request_headers(b"/a.B/Unary", (FORWARDED, host.encode())) for host in clients]
        for call in calls:
            await peer.response(peer.request(call))
        assert tuple(host for _, host, _ in gatekeeper.refused) == clients
        (link,) = relay.listener._reception.links
        assert link.origin == "127.0.0.1"
        gatekeeper.decide = admit
        for call in calls:
            peer.request(call, end=False)

        async def both_are_admitted():
            return sum(call.principal is not None for call in link.calls()) == len(calls)

        await eventually(both_are_admitted)
        assert [call.caller for call in link.calls()] == [f"address {host}" for host in clients]
