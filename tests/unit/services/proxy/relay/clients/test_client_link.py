"""A client's connection: its frames, its departure, and the limits of what it holds."""

import pytest

from tests.support.memory_relay import memory_relay
from tests.support.policies import bounds_with, connection_limits_with, lifetime_with, limits_with
from tests.support.raw_http2 import message
from tests.support.waiting import until
from vecguard.errors import Status, UnavailableError
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.errors import ErrorCode
from vecguard.proxy.http2.limits import Limit
from vecguard.proxy.relay.limits import RelayLimit


def goaways(end):
    return [item[1] for item in end.events if item[0] == "goaway_received"]


async def test_a_client_that_goes_takes_its_calls_along():
    async with memory_relay() as relay:
        client = relay.client()
        _, there, backend = await relay.arrived(client, end=False)
        client.cut()
        await relay.quiet()
        assert backend.was_reset(there) == ErrorCode.CANCEL
        assert not relay.links
        assert not relay.listener.connections


async def test_a_client_that_is_asked_to_leave_may_finish_what_it_began():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        client.link.leave()
        await relay.quiet()
        assert goaways(client) == [2**31 - 1, call]
        assert not client.is_lost
        backend.answer(there)
        await relay.quiet()
        assert client.status(call) == 0
        assert client.is_lost


async def test_a_client_without_a_call_leaves_at_once():
    async with memory_relay() as relay:
        client = relay.client()
        await relay.quiet()
        client.link.leave()
        await relay.quiet()
        assert client.is_lost


async def test_a_drained_listener_ends_calls_that_do_not_end_by_themselves():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, end=False)
        await relay.listener.drain(0.0)
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value
        assert backend.was_reset(there) == ErrorCode.CANCEL
        assert client.is_lost


async def test_ending_a_client_s_calls_tells_each_the_reason():
    async with memory_relay() as relay:
        client = relay.client()
        calls = [client.request(end=False) for _ in range(3)]
        await relay.quiet()
        client.link.end_calls(UnavailableError("later"))
        await relay.quiet()
        assert [client.value(call, b"grpc-message") for call in calls] == [b"later"] * 3


async def test_a_newcomer_displaces_a_client_without_an_admitted_call():
    bounds = bounds_with(connections=connection_limits_with(connections=2))
    async with memory_relay(bounds=bounds) as relay:
        busy = relay.client()
        call, there, backend = await relay.arrived(busy)
        idle = relay.client()
        idle.link._place.on_depart(idle.link.make_room)
        await relay.quiet()
        relay.client()
        await relay.quiet()
        assert idle.is_lost
        assert goaways(idle) == [0]
        assert not busy.is_lost
        assert relay.hits.counts[RelayLimit.CONNECTIONS] == 1
        backend.answer(there)
        await relay.quiet()
        assert busy.status(call) == 0


async def test_too_many_streams_are_refused_and_the_others_go_on():
    async with memory_relay(limits=limits_with(concurrent_streams=2)) as relay:
        client = relay.client()
        # As a client that has not read our settings yet.
        calls = [client.request() for _ in range(3)]
        await relay.quiet()
        assert [client.was_reset(call) for call in calls] == [None, None, ErrorCode.REFUSED_STREAM]
        assert relay.hits.counts[Limit.STREAMS] == 1
        for call in calls[:2]:
            client.reset(call)


async def test_a_message_in_shreds_ends_the_connection():
    async with memory_relay(limits=limits_with(useless_weight=50)) as relay:
        client = relay.client()
        call, _, _ = await relay.arrived(client, end=False)
        for byte in message(bytes(200)):
            client.connection.sender.write(
                frames.HEAD.pack(1 << 8 | frames.DATA, 0, call) + bytes((byte,))
            )
        await relay.quiet()
        assert client.is_lost
        assert relay.hits.counts[Limit.USELESS_FRAMES] == 1


async def test_http1_is_answered_in_its_own_words():
    async with memory_relay() as relay:
        client = relay.client()
        heard = bytearray()
        client.connection.sender.take()
        client.transport._waiting.clear()
        client.data_received = heard.extend
        client.transport.write(b"GET / HTTP/1.1\r\nhost: proxy\r\n\r\n")
        await relay.quiet()
        assert heard.startswith(b"HTTP/1.1 ")
        assert not relay.links
        client.cut()
        await relay.quiet()


async def test_an_unknown_protocol_is_told_so_and_closed():
    async with memory_relay() as relay:
        client = relay.client()
        client.connection.sender.take()
        client.transport._waiting.clear()
        client.transport.write(b"\x00" * 100)
        await relay.quiet()
        assert client.is_lost


async def test_a_client_that_says_nothing_is_closed():
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=0.001))
    async with memory_relay(bounds=bounds) as relay:
        client = relay.client()
        client.transport._waiting.clear()
        await until(lambda: client.is_lost)
        assert relay.hits.counts[RelayLimit.HANDSHAKE] == 1


@pytest.mark.parametrize(
    ("policy", "limit"),
    [
        (lifetime_with(first_call_seconds=0.001), RelayLimit.FIRST_CALL),
        (lifetime_with(idle_seconds=0.004), RelayLimit.IDLE),
        (lifetime_with(age_seconds=0.001), RelayLimit.AGE),
    ],
)
async def test_a_client_whose_time_is_up_is_asked_to_leave(policy, limit):
    async with memory_relay(bounds=bounds_with(lifetime=policy)) as relay:
        client = relay.client()
        await until(lambda: client.is_lost)
        assert relay.hits.counts[limit] == 1
        assert goaways(client)[0] == 2**31 - 1


async def test_calls_of_a_connection_that_is_too_old_are_ended():
    policy = lifetime_with(age_seconds=0.001, grace_seconds=0.001)
    async with memory_relay(bounds=bounds_with(lifetime=policy)) as relay:
        client = relay.client()
        call = client.request(end=False)
        await until(lambda: client.status(call) is not None)
        assert client.status(call) == Status.UNAVAILABLE.value
        assert relay.hits.counts[RelayLimit.AGE_GRACE] == 1


async def test_a_client_of_which_too_much_waits_loses_those_calls():
    async with memory_relay(bounds=bounds_with(buffered_bytes=300_000)) as relay:
        client = relay.client(limits=limits_with(stream_window_bytes=1000))
        call, there, backend = await relay.arrived(client)
        backend.begin(there)
        backend.say(there, message(bytes(500_000)))
        await relay.quiet()
        assert client.status(call) == Status.RESOURCE_EXHAUSTED.value
        assert relay.hits.counts[RelayLimit.BUFFERED] == 1


async def test_a_thousand_refused_calls_end_a_connection_that_knows_no_login():
    async with memory_relay() as relay:
        relay.gatekeeper.refuse(WrongCredentialsError())
        client = relay.client()
        await relay.quiet()
        reputation = client.link._reputation
        reputation.refusals = 999
        client.request()
        await relay.quiet()
        assert client.is_lost
        assert client.fault is None
        assert relay.hits.counts[RelayLimit.REFUSED_CALLS] == 1
