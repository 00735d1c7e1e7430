"""A call whose request is read before the backend gets all of it."""

import pytest

from tests.support.memory_relay import memory_relay
from tests.support.policies import limits_with
from tests.support.raw_http2 import message
from tests.support.scripted_permission import ScriptedAuthorizer
from vecguard.errors import InvalidParameterError, Status, UnavailableError
from vecguard.proxy.http2.errors import ErrorCode

DENIED = InvalidParameterError("the test refuses it")
HELLO = message(b"hello")
# Longer than one frame.
LONG = message(b"x" * 100_000)


def frames(data, size=16_384):
    return [data[at : at + size] for at in range(0, len(data), size)]


async def test_a_permitted_call_is_carried_there_and_back():
    script = ScriptedAuthorizer()
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO)
        assert backend.data_of(there) == HELLO
        assert backend.has_ended(there)
        backend.answer(there, message(b"world"))
        await relay.quiet()
        assert client.status(call) == Status.OK.value
    assert script.permissions[0].seen == HELLO


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_refused_call_never_reaches_the_backend(is_late):
    script = ScriptedAuthorizer(error=DENIED, is_late=is_late)
    script.gate.set()
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO)
        await relay.quiet()
        assert client.status(call) == Status.INVALID_ARGUMENT.value
        assert not relay.backends


async def test_a_short_message_is_held_until_the_request_ends():
    """A second message must not come after the first one was passed on."""
    script = ScriptedAuthorizer()
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO, end=False)
        await relay.quiet()
        assert not relay.backends
        assert script.permissions[0].decisions == 0
        client.finish(call)
        await relay.quiet()
        [backend] = relay.backends
        assert backend.data_of(max(backend.streams)) == HELLO
        assert backend.has_ended(max(backend.streams))


@pytest.mark.parametrize("is_late", [False, True])
async def test_all_but_the_end_of_a_long_message_is_passed_on_before_the_decision(is_late):
    script = ScriptedAuthorizer(is_late=is_late)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        *beginning, last = frames(LONG)
        call = client.request(b"/a.B/C", beginning[0], end=False)
        for piece in beginning[1:]:
            client.say(call, piece)
            await relay.quiet()
        backend = relay.backends[0]
        there = max(backend.streams)
        assert backend.data_of(there) == b"".join(beginning)
        client.say(call, last)
        await relay.quiet()
        assert backend.data_of(there) == b"".join(beginning)
        client.finish(call)
        await relay.quiet()
        if is_late:
            assert backend.data_of(there) == b"".join(beginning)
            script.gate.set()
            await relay.quiet()
        assert backend.data_of(there) == LONG
        assert backend.has_ended(there)
        backend.answer(there)
        await relay.quiet()
        assert client.status(call) == Status.OK.value


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_refused_long_message_is_cancelled_at_the_backend(is_late):
    script = ScriptedAuthorizer(error=DENIED, is_late=is_late)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        *beginning, last = frames(LONG)
        call = client.request(b"/a.B/C", beginning[0], end=False)
        await relay.quiet()
        for piece in (*beginning[1:], last):
            client.say(call, piece)
        client.finish(call)
        await relay.quiet()
        script.gate.set()
        await relay.quiet()
        backend = relay.backends[0]
        there = max(backend.streams)
        assert client.status(call) == Status.INVALID_ARGUMENT.value
        assert backend.was_reset(there) == ErrorCode.CANCEL
        assert len(backend.data_of(there)) < len(LONG)


async def test_a_part_of_a_request_that_would_be_refused_is_not_passed_on():
    script = ScriptedAuthorizer(part_error=DENIED)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        short = client.request(b"/a.B/C", HELLO)
        long = client.request(b"/a.B/C", frames(LONG)[0], end=False)
        late = client.request(b"/a.B/C", end=False)
        await relay.quiet()
        client.say(late, frames(LONG)[0])
        await relay.quiet()
        [backend] = relay.backends
        assert len(backend.streams) == 1
        assert client.status(short) is None
        assert client.status(long) == client.status(late) == Status.INVALID_ARGUMENT.value


@pytest.mark.parametrize("at", [0, 1])
async def test_a_request_that_cannot_be_read_ends_the_call(at):
    script = ScriptedAuthorizer(misread=b"bad", error=DENIED)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        pieces = [message(b"bad")] if at == 0 else [b"", message(b"bad")]
        call = client.request(b"/a.B/C", pieces[0], end=False)
        await relay.quiet()
        for piece in pieces[1:]:
            client.say(call, piece)
        await relay.quiet()
        assert client.status(call) == Status.INVALID_ARGUMENT.value
        assert not relay.backends


async def test_a_call_that_waits_for_its_decision_keeps_what_comes_meanwhile():
    """As with a stream, whose decision does not need its messages."""
    script = ScriptedAuthorizer(reads_request=False, is_late=True)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO, end=False)
        await relay.quiet()
        client.say(call, HELLO)
        await relay.quiet()
        assert not relay.backends
        script.gate.set()
        await relay.quiet()
        backend = relay.backends[0]
        there = max(backend.streams)
        assert backend.data_of(there) == 2 * HELLO
        client.say(call, HELLO)
        client.finish(call)
        await relay.quiet()
        assert backend.data_of(there) == 3 * HELLO
        assert backend.has_ended(there)
        assert script.permissions[0].seen == b""
        assert script.permissions[0].decisions == 1


async def test_a_call_that_ends_before_its_decision_ends_the_wait():
    script = ScriptedAuthorizer(is_late=True)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO)
        await relay.quiet()
        client.reset(call)
        await relay.quiet()
        script.gate.set()
        await relay.quiet()
        assert not relay.backends


async def test_a_revoked_call_is_not_passed_on_by_a_late_decision():
    script = ScriptedAuthorizer(is_late=True)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO)
        await relay.quiet()
        relay.open_calls.end_older(frozenset({"alice"}), 8, UnavailableError("revoked"))
        script.gate.set()
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value
        assert not relay.backends


async def test_a_bug_in_a_late_decision_ends_the_call():
    script = ScriptedAuthorizer(is_late=True, error=RuntimeError("a bug"))
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO)
        script.gate.set()
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value


async def test_an_upstream_with_bounded_requests_gets_them_whole_and_decided():
    script = ScriptedAuthorizer()
    async with memory_relay(authorizer=script, max_request_bytes=1000) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO[:3], end=False)
        await relay.quiet()
        client.say(call, HELLO[3:])
        await relay.quiet()
        assert not relay.backends
        client.finish(call)
        await relay.quiet()
        backend = relay.backends[0]
        assert backend.data_of(max(backend.streams)) == HELLO


async def test_a_request_that_was_sent_in_part_is_sent_again_without_its_end():
    script = ScriptedAuthorizer()
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        short = message(b"y" * (30_000 - 5))
        first, second, last = short[:10_000], short[10_000:20_000], short[20_000:]
        call = client.request(b"/a.B/C", first, end=False)
        await relay.quiet()
        client.say(call, second)
        client.say(call, last)
        await relay.quiet()
        backend = relay.backends[-1]
        there = max(backend.streams)
        backend.reset(there, ErrorCode.REFUSED_STREAM)
        await relay.quiet()
        again = max(relay.backends[-1].streams)
        assert relay.backends[-1].data_of(again) == first + second
        client.finish(call)
        await relay.quiet()
        assert relay.backends[-1].data_of(again) == short
        relay.backends[-1].answer(again)
        await relay.quiet()
        assert client.status(call) == Status.OK.value


async def test_the_client_gets_its_credit_back_for_what_was_withheld():
    """The window of the connection is smaller than what all refused calls have sent."""
    script = ScriptedAuthorizer(error=DENIED)
    limits = limits_with(connection_window_bytes=100_000, stream_window_bytes=65_536)
    async with memory_relay(authorizer=script, limits=limits) as relay:
        client = relay.client()
        long = message(b"z" * 40_000)
        for _ in range(20):
            call = client.request(b"/a.B/C", end=False)
            await relay.quiet()
            client.say(call, long[:16_384])
            client.say(call, long[16_384:32_768])
            client.say(call, long[32_768:])
            client.finish(call)
            await relay.quiet()
            assert client.status(call) == Status.INVALID_ARGUMENT.value


async def test_nothing_follows_an_answer_that_came_before_the_decision():
    """The answer waits for a client that does not read, and the upstream's stream is closed."""
    script = ScriptedAuthorizer(is_late=True)
    async with memory_relay(authorizer=script) as relay:
        client = relay.client(limits=limits_with(stream_window_bytes=10))
        *beginning, last = frames(LONG)
        call = client.request(b"/a.B/C", beginning[0], end=False)
        for piece in (*beginning[1:], last):
            client.say(call, piece)
            await relay.quiet()
        client.finish(call)
        await relay.quiet()
        [backend] = relay.backends
        backend.answer(max(backend.streams), message(b"x" * 100))
        await relay.quiet()
        before = relay.traffic_to_backends()
        script.gate.set()
        await relay.quiet()
        assert relay.traffic_to_backends() == before
        client.reset(call)
        await relay.quiet()


async def test_a_request_that_was_held_is_sent_again_once():
    script = ScriptedAuthorizer()
    async with memory_relay(authorizer=script) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", end=False)
        await relay.quiet()
        client.say(call, HELLO)
        client.finish(call)
        await relay.quiet()
        backend = relay.backends[-1]
        backend.reset(max(backend.streams), ErrorCode.REFUSED_STREAM)
        await relay.quiet()
        backend = relay.backends[-1]
        assert backend.data_of(max(backend.streams)) == HELLO
        backend.answer(max(backend.streams))
        await relay.quiet()
        assert client.status(call) == Status.OK.value


async def test_a_request_whose_end_is_withheld_has_not_arrived():
    script = ScriptedAuthorizer(is_late=True)
    async with memory_relay(authorizer=script, revocable=False) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", end=False)
        await relay.quiet()
        for piece in frames(LONG):
            client.say(call, piece)
            await relay.quiet()
        assert relay.open_calls.end_older(frozenset({"alice"}), 8, UnavailableError("revoked")) == 1
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value
