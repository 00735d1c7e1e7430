"""Which connection a call gets, and what it hears where there is none."""

from tests.support.memory_relay import memory_relay
from tests.support.policies import limits_with, pool_with
from tests.support.raw_http2 import message
from tests.support.waiting import until
from vecguard.backoff import BackoffPolicy
from vecguard.errors import Status
from vecguard.proxy.http2.errors import ErrorCode
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.limits import RelayLimit

#: Longer than any test.
NEVER = BackoffPolicy(first_seconds=1000.0, longest_seconds=1000.0)


def opened(relay):
    """Streams that are open on each connection."""
    return [len(link.connection.streams) for link in relay.upstream.links]


def cancel(client, *calls):
    for call in calls:
        client.reset(call)


async def test_calls_that_come_together_share_one_connection():
    async with memory_relay() as relay:
        client = relay.client()
        calls = [client.request() for _ in range(10)]
        await relay.quiet()
        assert opened(relay) == [10]
        assert relay.upstream.pool.connects == {"ok": 1, "failed": 0}
        cancel(client, *calls)


async def test_a_failed_attempt_is_told_to_those_that_wait_and_to_those_that_follow():
    async with memory_relay(pool=pool_with(backoff=NEVER)) as relay:
        relay.refuses = ConnectionRefusedError(111, "Connection refused")
        client = relay.client()
        calls = [client.request(), client.request()]
        await relay.quiet()
        calls.append(client.request())
        await relay.quiet()
        for call in calls:
            assert client.status(call) == Status.UNAVAILABLE.value
            assert b"Connection refused" in client.value(call, b"grpc-message")
        assert relay.upstream.pool.connects == {"ok": 0, "failed": 1}


async def test_the_next_attempt_needs_no_call():
    backoff = BackoffPolicy(first_seconds=0.001, longest_seconds=0.001)
    async with memory_relay(pool=pool_with(backoff=backoff)) as relay:
        relay.refuses = ConnectionRefusedError(111, "Connection refused")
        client = relay.client()
        client.request()
        await relay.quiet()
        assert relay.upstream.pool.failure is not None
        relay.refuses = None
        await until(lambda: relay.upstream.links)
        assert relay.upstream.pool.failure is None
        call, there, backend = await relay.arrived(client)
        backend.answer(there)
        await relay.quiet()
        assert client.status(call) == 0


async def test_a_full_connection_gets_another_beside_it():
    async with memory_relay(backend_limits=limits_with(concurrent_streams=4)) as relay:
        client = relay.client()
        calls = [client.request() for _ in range(6)]
        await relay.quiet()
        assert opened(relay) == [4, 2]
        cancel(client, *calls)


async def test_one_caller_has_half_of_all_streams_and_waits_for_more():
    options = {
        "backend_limits": limits_with(concurrent_streams=4),
        "pool": pool_with(connections=1),
    }
    async with memory_relay(**options) as relay:
        client = relay.client()
        calls = [client.request() for _ in range(5)]
        await relay.quiet()
        assert opened(relay) == [2]
        assert relay.upstream.pool.waiting == 3
        relay.gatekeeper.decide = admit_bob
        others = [client.request()]
        await relay.quiet()
        assert opened(relay) == [3]
        cancel(client, *calls, *others)


async def admit_bob(authorization):
    return Principal("bob", 1)


async def test_a_free_stream_goes_to_the_call_that_waits():
    options = {
        "backend_limits": limits_with(concurrent_streams=1),
        "pool": pool_with(connections=1),
    }
    async with memory_relay(**options) as relay:
        client = relay.client()
        first = client.request(b"/a.B/First")
        second = client.request(b"/a.B/Second")
        await relay.quiet()
        (backend,) = relay.backends
        assert list(backend.streams) == [1]
        backend.answer(1)
        await relay.quiet()
        assert client.status(first) == 0
        assert backend.value(3, b":path") == b"/a.B/Second"
        backend.answer(3)
        await relay.quiet()
        assert client.status(second) == 0


async def test_places_to_wait_are_bounded_for_one_caller_and_for_all():
    options = {
        "backend_limits": limits_with(concurrent_streams=1),
        "pool": pool_with(connections=1, waiting=2),
    }
    async with memory_relay(**options) as relay:
        client = relay.client()
        first, _, _ = await relay.arrived(client)
        calls = [client.request() for _ in range(2)]
        await relay.quiet()
        assert client.status(calls[0]) is None
        assert client.status(calls[1]) == Status.RESOURCE_EXHAUSTED.value
        assert relay.hits.counts[RelayLimit.WAITING_CALLS_PER_USER] == 1
        relay.gatekeeper.decide = admit_bob
        others = [client.request(), client.request()]
        await relay.quiet()
        assert client.status(others[0]) is None
        assert client.status(others[1]) == Status.RESOURCE_EXHAUSTED.value
        assert relay.hits.counts[RelayLimit.WAITING_CALLS] == 1
        cancel(client, first, calls[0], others[0])


async def test_a_call_that_is_cancelled_waits_no_more():
    options = {
        "backend_limits": limits_with(concurrent_streams=1),
        "pool": pool_with(connections=1),
    }
    async with memory_relay(**options) as relay:
        client = relay.client()
        calls = [client.request() for _ in range(2)]
        await relay.quiet()
        assert relay.upstream.pool.waiting == 1
        client.reset(calls[1])
        await relay.quiet()
        assert relay.upstream.pool.waiting == 0
        client.reset(calls[0])


async def test_a_backend_that_leaves_keeps_its_calls_and_gets_no_new_ones():
    async with memory_relay() as relay:
        client = relay.client()
        first, there, old = await relay.arrived(client)
        old.connection.refuse_new()
        await relay.quiet()
        second, _, new = await relay.arrived(client)
        assert new is not old
        assert opened(relay) == [1, 1]
        old.answer(there)
        await relay.quiet()
        assert client.status(first) == 0
        assert old.is_lost
        new.answer(1)
        await relay.quiet()
        assert client.status(second) == 0


async def test_a_call_that_a_leaving_backend_has_not_looked_at_is_made_elsewhere():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, old = await relay.arrived(client, b"/a.B/C", message(b"hello"))
        old.connection.refuse_all()
        await relay.quiet()
        new = relay.backends[-1]
        assert new is not old
        assert new.data_of(1) == message(b"hello")
        assert old.was_reset(there) == ErrorCode.CANCEL
        new.answer(1)
        await relay.quiet()
        assert client.status(call) == 0


async def test_a_backend_that_only_hangs_up_is_not_called_again_at_once():
    async with memory_relay(pool=pool_with(backoff=NEVER)) as relay:
        client = relay.client()
        for _ in range(2):
            call, _, backend = await relay.arrived(client)
            backend.cut()
            await relay.quiet()
            assert client.status(call) == Status.UNAVAILABLE.value
        client.request()
        await relay.quiet()
        assert len(relay.backends) == 2
        assert "closes connections without an answer" in relay.upstream.pool.failure


async def test_the_pool_s_end_is_told_to_every_call():
    options = {
        "backend_limits": limits_with(concurrent_streams=1),
        "pool": pool_with(connections=1),
    }
    async with memory_relay(**options) as relay:
        client = relay.client()
        calls = [client.request() for _ in range(2)]
        await relay.quiet()
        relay.upstream.close()
        await relay.quiet()
        assert [client.status(call) for call in calls] == [Status.UNAVAILABLE.value] * 2
        assert all(backend.is_lost for backend in relay.backends)
