"""The gatekeeper's decision, and its later end."""

import asyncio
from contextlib import suppress

import grpc
import grpc.aio
import pytest

from tests.support.echo_backend import UNLIMITED
from tests.support.policies import limits_with, pool_with
from tests.support.raw_http2 import message, raw_client, request_headers, requests, round_trip
from tests.support.relay import channel, relaying
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.errors import OverloadedError, UnavailableError
from vecguard.proxy.authentication.errors import RevokedError, WrongCredentialsError
from vecguard.proxy.http2.limits import DEFAULT_WINDOW_BYTES
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.upstream import Upstream, over_tcp

TIMEOUT = 10.0
MAX_REQUEST_BYTES = 32 * 1024
SMALLEST_WINDOWS = limits_with(
    stream_window_bytes=DEFAULT_WINDOW_BYTES, connection_window_bytes=DEFAULT_WINDOW_BYTES
)
METHODS = ["/milvus.proto.milvus.MilvusService/", "/grpc.health.v1.Health/", "/never.heard.Of/"]


async def outcome(call):
    """Code and text of a unary call."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


# grpcio's aio client reports INTERNAL ("Internal error from Core") now and then when a
# stream is refused while it begins to write, whoever the server is. The blocking one does not.
async def outcomes_of_each_kind(target, service, payload=b"1"):
    """Codes and texts of four calls on one connection: unary, down, up, both."""

    def run():
        options = (*UNLIMITED, ("grpc.enable_retries", 0))
        with grpc.insecure_channel(target, options=options) as blocking:
            calls = [
                blocking.unary_unary(f"{service}Unary").future(payload, timeout=TIMEOUT),
                blocking.unary_stream(f"{service}ServerStream")(b"1", timeout=TIMEOUT),
                blocking.stream_unary(f"{service}ClientStream").future(
                    iter([payload] * 20), timeout=TIMEOUT
                ),
                blocking.stream_stream(f"{service}Bidi")(iter([payload] * 20), timeout=TIMEOUT),
            ]
            for call in calls[1::2]:
                with suppress(grpc.RpcError):
                    list(call)
            return [(call.code(), call.details()) for call in calls]

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("service", METHODS)
@pytest.mark.parametrize(
    "error",
    [
        WrongCredentialsError(),
        UnavailableError("no lease: 100 % of the caches are void, ü"),
        OverloadedError("too many logins are being checked"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_ends_every_kind_of_call(relay, backend, service, error):
    relay.gatekeeper.refuse(error)
    for code, text in await outcomes_of_each_kind(relay.target, service):
        assert code.value[0] == error.status.value
        assert text == error.message
    assert backend.calls == []


async def test_every_call_of_a_connection_is_judged(relay):
    for code, _ in await outcomes_of_each_kind(relay.target, "/a.B/"):
        assert code is grpc.StatusCode.OK
    assert relay.listener.connections <= 1
    assert len(relay.gatekeeper.seen) == 4


async def test_an_unexpected_error_is_hidden(relay, client, backend):
    relay.gatekeeper.refuse(RuntimeError("secret detail"))
    assert await outcome(client.unary_unary("/a.B/Unary")(b"", timeout=TIMEOUT)) == (
        grpc.StatusCode.INTERNAL,
        "internal error; the proxy's log has the details",
    )
    assert backend.calls == []


async def test_a_refusal_reaches_a_client_that_is_still_sending(raw_relay):
    raw_relay.gatekeeper.refuse(WrongCredentialsError())
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(bytes(10_000))[:-1], end=False)
        headers, _, _ = await client.response(mine)
        assert (b"grpc-status", b"16") in headers


async def test_a_refusal_reaches_a_grpcio_client_whose_messages_are_still_on_their_way(relay):
    error = WrongCredentialsError()
    relay.gatekeeper.refuse(error)
    for outcome in await outcomes_of_each_kind(relay.target, "/a.B/", bytes(4 * 2**20)):
        assert outcome == (grpc.StatusCode.UNAUTHENTICATED, error.message)


async def test_the_missing_header_is_the_gatekeeper_s_to_judge(relay, client):
    await client.unary_unary("/a.B/Unary")(b"", timeout=TIMEOUT)
    assert relay.gatekeeper.seen == [()]


async def test_all_values_of_the_header_are_shown_to_the_gatekeeper(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        client.request(
            request_headers(b"/a.B/C", (b"authorization", b"one"), (b"authorization", b"\xff"))
        )
        await raw_backend.requested()
    assert raw_relay.gatekeeper.seen == [(b"one", b"\xff")]


async def test_a_call_is_shown_what_was_decided_about_one_that_is_open(raw_relay, raw_backend):
    gatekeeper = raw_relay.gatekeeper
    async with raw_client(raw_relay.port) as client, raw_client(raw_relay.port) as other:
        first = client.request()
        peer, at_backend = await raw_backend.requested()
        second = client.request()
        await requests(peer, 2)
        [link] = [link for link in raw_relay.listener._reception.links if link.newest]
        assert gatekeeper.earlier[0] is None
        assert gatekeeper.earlier[1] is link.calls()[0].principal
        stranger = other.request()
        await requests(peer, 3)
        assert gatekeeper.earlier[2] is None
        for stream_id in (at_backend, at_backend + 2, at_backend + 4):
            peer.answer(stream_id, message(b""))
        for mine in (first, second):
            await client.response(mine)
        await other.response(stranger)
        # Nothing is open, so nothing is kept.
        client.request()
        await requests(peer, 4)
        assert gatekeeper.earlier[3] is None


async def test_nobody_in_particular_has_no_name_at_the_backend(relay, client, backend):
    async def nobody(_):
        return ANONYMOUS

    relay.gatekeeper.decide = nobody
    await client.unary_unary("/a.B/Unary")(
        b"", metadata=(("x-vecguard-user", "root"),), timeout=TIMEOUT
    )
    assert backend.calls[0].values("x-vecguard-user") == []


async def test_a_revocation_ends_the_open_calls_of_that_user_only(relay, client, backend):
    async def by_name(authorization):
        return Principal(authorization[0].decode(), 7)

    relay.gatekeeper.decide = by_name
    calls = {}
    for name in ("alice", "bob"):
        metadata = (("authorization", name),)
        bidi = client.stream_stream("/a.B/Bidi")(metadata=metadata, timeout=TIMEOUT)
        await bidi.write(b"1")
        assert await bidi.read() == b"1"
        down = client.unary_stream("/a.B/Open")(b"1", metadata=metadata, timeout=TIMEOUT)
        assert await down.read() == b"1"
        calls[name] = (bidi, down)

    relay.open_calls.end_older(frozenset({"alice"}), 7, RevokedError())
    relay.open_calls.end_older(frozenset({"carol"}), 99, RevokedError())
    bidi, _ = calls["alice"]
    await bidi.write(b"2")
    assert await bidi.read() == b"2", "a revision that is not newer ends nothing"

    relay.open_calls.end_older(frozenset({"alice"}), 8, RevokedError())
    for call in calls["alice"]:
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await call.details() == RevokedError().message
    bidi, down = calls["bob"]
    await bidi.write(b"2")
    assert await bidi.read() == b"2"
    for seen in backend.calls:
        if seen.values("x-vecguard-user") == ["alice"]:
            async with asyncio.timeout(5.0):
                await seen.over.wait()
        else:
            assert not seen.over.is_set()
    assert len(relay.open_calls) == 2
    bidi.cancel()
    down.cancel()
    await relay.idle()


def not_revocable(port):
    return Upstream(
        "accounts",
        over_tcp(Address("127.0.0.1", port), timeout_seconds=2.0),
        authority="x",
        policy=HeaderPolicy(),
        revocable=False,
        max_request_bytes=MAX_REQUEST_BYTES,
        pool=pool_with(),
    )


async def test_calls_to_an_upstream_that_is_not_revocable_go_on(backend):
    accounts = not_revocable(backend.port)
    async with (
        relaying(backend.port, table={b"/own.Accounts/*": accounts}) as relay,
        channel(relay.target) as client,
    ):
        call = client.unary_unary("/own.Accounts/Gated")(b"mine", timeout=TIMEOUT)
        asyncio.ensure_future(call.wait_for_connection())  # noqa: RUF006 - starts the call
        await backend.call_number(0)
        relay.open_calls.end_older(frozenset({"alice"}), 99, RevokedError())
        backend.gate.set()
        assert await call == b"mine"
    accounts.close()


@pytest.mark.parametrize("sent", [b"", message(b"change")[:-1]], ids=["nothing", "a part"])
async def test_a_request_that_has_not_arrived_ends_with_its_login_wherever_it_goes(
    raw_backend, sent
):
    """Otherwise its client could complete it long after the revocation."""
    accounts = not_revocable(raw_backend.port)
    async with (
        relaying(raw_backend.port, table={b"/own.Accounts/*": accounts}) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request(request_headers(b"/own.Accounts/Change"), body=sent, end=False)
        await round_trip(client)
        assert len(relay.open_calls) == 1
        relay.open_calls.end_older(frozenset({"alice"}), 99, RevokedError())
        headers, _, _ = await client.response(mine)
        assert (b"grpc-status", b"16") in headers
        await relay.idle()
    accounts.close()


async def is_served(raw_backend, client, call):
    peer, stream_id = await raw_backend.requested()
    peer.answer(stream_id, message(b"done"))
    _, body, _ = await client.response(call)
    assert body == message(b"done")


async def test_calls_that_nobody_goes_on_with_keep_no_change_from_its_upstream(raw_backend):
    accounts = not_revocable(raw_backend.port)
    whole = message(b"change")
    async with (
        relaying(raw_backend.port, table={b"/own.Accounts/*": accounts}) as relay,
        raw_client(relay.port) as client,
    ):
        head = request_headers(b"/own.Accounts/Change")
        begun = client.request(head, body=whole[:-1], end=False)
        for _ in range(20):
            client.request(head, end=False)
        await round_trip(client)
        assert accounts.pool.waiting == 0
        assert not accounts.links, "nothing was sent on"
        client.h2.send_data(begun, whole[-1:])
        client.flush()
        await is_served(raw_backend, client, begun)
    accounts.close()


async def test_a_request_that_ends_without_a_message_is_sent_on_as_it_is(raw_backend):
    accounts = not_revocable(raw_backend.port)
    async with (
        relaying(raw_backend.port, table={b"/own.Accounts/*": accounts}) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request(request_headers(b"/own.Accounts/Change"), end=True)
        await is_served(raw_backend, client, mine)
    accounts.close()


async def test_the_largest_request_fits_into_the_smallest_window(raw_backend):
    accounts = not_revocable(raw_backend.port)
    async with (
        relaying(
            raw_backend.port, table={b"/own.Accounts/*": accounts}, limits=SMALLEST_WINDOWS
        ) as relay,
        raw_client(relay.port) as client,
    ):
        await round_trip(client)  # it knows the relay's windows
        mine = client.request(request_headers(b"/own.Accounts/Change"), end=False)
        whole = message(bytes(MAX_REQUEST_BYTES))
        for at in range(0, len(whole), 1000):
            # As much padding as a frame can have: it takes of the window, too.
            client.h2.send_data(mine, whole[at : at + 1000], pad_length=255)
        client.flush()
        await is_served(raw_backend, client, mine)
    accounts.close()


@pytest.mark.parametrize("is_late", [False, True], ids=["before it is routed", "after"])
async def test_a_longer_one_is_refused_by_its_length_and_keeps_no_change_out(raw_backend, is_late):
    accounts = not_revocable(raw_backend.port)
    whole = message(bytes(MAX_REQUEST_BYTES + 1))
    async with (
        relaying(raw_backend.port, table={b"/own.Accounts/*": accounts}) as relay,
        raw_client(relay.port) as client,
    ):
        head = request_headers(b"/own.Accounts/Change")
        if is_late:
            mine = client.request(head, end=False)
            await round_trip(client)
            client.h2.send_data(mine, whole[:10])
            client.flush()
        else:
            mine = client.request(head, body=whole[:10], end=False)
        headers, _, _ = await client.response(mine)
        assert (b"grpc-status", b"8") in headers
        assert not accounts.links, "nothing was sent on"
        await relay.idle()
    accounts.close()


async def test_a_request_that_waits_for_its_upstream_ends_with_its_login(backend):
    """Else others of the same client could keep it waiting until long after the revocation."""

    async def never(factory):
        await asyncio.Event().wait()
        return factory()

    accounts = Upstream(
        "accounts",
        never,
        authority="x",
        policy=HeaderPolicy(),
        revocable=False,
        max_request_bytes=MAX_REQUEST_BYTES,
        pool=pool_with(),
    )
    async with (
        relaying(backend.port, table={b"/own.Accounts/*": accounts}) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request(request_headers(b"/own.Accounts/Change"), body=message(b"change"))

        async def it_waits():
            return accounts.pool.waiting == 1

        await eventually(it_waits)
        relay.open_calls.end_older(frozenset({"alice"}), 99, RevokedError())
        headers, _, _ = await client.response(mine)
        assert (b"grpc-status", b"16") in headers
        assert accounts.pool.waiting == 0
        await relay.idle()
        accounts.close()
