"""A backend that allows few streams: what one user may take of them, and what others get."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from h2.errors import ErrorCodes

from tests.support.echo_backend import EchoBackend
from tests.support.policies import pool_with
from tests.support.raw_http2 import (
    Peer,
    message,
    raw_backend,
    raw_client,
    request_headers,
    requests,
    round_trip,
    status,
)
from tests.support.relay import relaying
from tests.support.relay_parts import ScriptedGatekeeper
from tests.support.waiting import until
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.limits import RelayLimit

FOUR = pool_with(connections=4)
STREAMS = 100


class Users(ScriptedGatekeeper):
    """Takes the authorization for the user's name."""

    def admit_now(self, authorization, client, earlier=None):
        return Principal(authorization[0].decode() if authorization else "", 1)


@asynccontextmanager
async def limited_backend(max_streams=STREAMS):
    backend = EchoBackend()
    await backend.start(options=[("grpc.max_concurrent_streams", max_streams)])
    try:
        yield backend
    finally:
        await backend.stop()


def call(client, user, path=b"/a.B/Silent"):
    return client.request(request_headers(path, (b"authorization", user.encode())), message(b"x"))


async def counted(found, wanted):
    await until(lambda: found() == wanted)


async def answers(client, user, count):
    return Counter([await status(client, call(client, user, b"/a.B/Unary")) for _ in range(count)])


@pytest.mark.parametrize(
    ("connections", "waits", "refused"),
    [
        pytest.param(1, 200, 0, id="400 calls on one connection"),
        pytest.param(2, 1000, 800, id="2000 calls on two connections"),
    ],
)
async def test_calls_of_one_user_that_hang_keep_no_other_user_out(connections, waits, refused):
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(limited_backend())
        relay = await stack.enter_async_context(
            relaying(backend.port, gatekeeper=Users(), pool=FOUR)
        )
        pool = relay.upstream.pool
        hanging = []
        for _ in range(connections):
            client = await stack.enter_async_context(raw_client(relay.port))
            for _ in range((200 + waits + refused) // connections):
                hanging.append((client, call(client, "mallory")))
                if len(hanging) % 100 == 0:
                    await round_trip(client)
        await counted(lambda: len(backend.calls), 200)
        await counted(lambda: pool.waiting, waits)
        alice = await stack.enter_async_context(raw_client(relay.port))
        assert await answers(alice, "alice", 50) == {0: 50}
        # Nothing that runs or waits was given up for it.
        assert pool.waiting == waits
        assert not any(seen.ended for seen in backend.calls if seen.path.endswith("Silent"))
        assert relay.listener.hits.counts[RelayLimit.WAITING_CALLS_PER_USER] == refused
        for client, number in hanging[200 + waits :]:
            headers, _, _ = await client.response(number)
            assert dict(headers)[b"grpc-status"] == b"8"
            assert b"too many calls of this user wait" in dict(headers)[b"grpc-message"]


async def test_several_users_whose_calls_hang_still_leave_streams_for_the_next():
    async with (
        limited_backend() as backend,
        relaying(backend.port, gatekeeper=Users(), pool=FOUR) as relay,
        raw_client(relay.port) as client,
    ):
        for number in range(4):
            for _ in range(200):
                call(client, f"mallory{number}")
            await round_trip(client)
        # A fifth of all for each of four that come together, and a fifth is left. A user that
        # comes later has half of what is left then.
        await until(lambda: len(backend.calls) >= 320)
        async with raw_client(relay.port) as alice:
            assert await answers(alice, "alice", 20) == {0: 20}


async def test_without_users_the_addresses_of_clients_count():
    async with (
        limited_backend() as backend,
        relaying(backend.port, gatekeeper=Users(), pool=FOUR) as relay,
        raw_client(relay.port) as client,
    ):
        for _ in range(400):
            client.request(request_headers(b"/a.B/Silent"), message(b"x"))
        await counted(lambda: len(backend.calls), 200)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", relay.port, local_addr=("127.0.0.2", 0)
        )
        other = Peer(reader, writer, client_side=True)
        mine = other.request(request_headers(b"/a.B/Unary"), message(b"x"))
        assert await status(other, mine) == 0
        await other.close()


async def test_streams_that_were_given_back_count_no_more():
    async with (
        limited_backend() as backend,
        relaying(backend.port, gatekeeper=Users(), pool=FOUR) as relay,
        raw_client(relay.port) as client,
    ):
        for _ in range(3):
            hanging = [call(client, "mallory") for _ in range(210)]
            await counted(partial(len, backend.calls), 200)
            backend.calls.clear()
            for number in hanging:
                client.h2.reset_stream(number, ErrorCodes.CANCEL)
            client.flush()
            await relay.idle()
            assert relay.upstream.pool.waiting == 0


async def test_users_whose_calls_wait_take_turns():
    async with (
        raw_backend(max_streams=1) as backend,
        relaying(backend.port, gatekeeper=Users(), pool=pool_with(connections=1)) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [call(client, "alice", b"/a.B/a0")]
        peer = await backend.accepted()
        await requests(peer, 1)
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            user = {"a": "alice", "b": "bob", "c": "carol"}[name[0]]
            calls.append(call(client, user, f"/a.B/{name}".encode()))
        await counted(lambda: relay.upstream.pool.waiting, 6)
        order = []
        for count in range(1, 8):
            number = (await requests(peer, count))[-1]
            order.append(dict(peer.headers(number))[b":path"][-2:].decode())
            peer.answer(number)
        assert order == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]
        assert [await status(client, number) for number in calls] == [0] * 7


async def test_a_user_over_its_share_gets_the_next_stream_only_when_it_has_less_again():
    async with (
        raw_backend(max_streams=4) as backend,
        relaying(backend.port, gatekeeper=Users(), pool=pool_with(connections=1)) as relay,
        raw_client(relay.port) as client,
    ):
        for name in ("a1", "a2", "a3"):
            call(client, "alice", f"/a.B/{name}".encode())
        peer = await backend.accepted()
        await requests(peer, 2)
        call(client, "bob", b"/a.B/b1")
        call(client, "bob", b"/a.B/b2")
        await requests(peer, 3)
        await counted(lambda: relay.upstream.pool.waiting, 2)  # a3, b2
        first, second, third = await requests(peer, 3)
        # One is free all the time. It goes to the user that holds none, if one waits.
        peer.answer(third)
        number = (await requests(peer, 4))[3]
        assert dict(peer.headers(number))[b":path"] == b"/a.B/b2"
        peer.answer(first)
        peer.answer(second)
        number = (await requests(peer, 5))[4]
        assert dict(peer.headers(number))[b":path"] == b"/a.B/a3"


async def test_calls_of_a_user_that_fill_its_places_to_wait_leave_some_for_others():
    policy = pool_with(connections=1, waiting=4)
    async with (
        raw_backend(max_streams=1) as backend,
        relaying(backend.port, gatekeeper=Users(), pool=policy) as relay,
        raw_client(relay.port) as client,
    ):
        running = call(client, "mallory")
        peer, first = await backend.requested()
        waiting = [call(client, "mallory") for _ in range(2)]
        refused = [call(client, "mallory") for _ in range(3)]
        assert [await status(client, number) for number in refused] == [8] * 3
        mine = call(client, "alice", b"/a.B/Mine")
        await counted(lambda: relay.upstream.pool.waiting, 3)
        peer.answer(first)
        for count in (2, 3, 4):
            peer.answer((await requests(peer, count))[-1])
        assert [await status(client, number) for number in (running, *waiting, mine)] == [0] * 4
        assert relay.listener.hits.counts[RelayLimit.WAITING_CALLS] == 0
