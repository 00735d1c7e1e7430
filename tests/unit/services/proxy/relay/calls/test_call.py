"""One call between two ends that are joined in memory."""

import pytest

from tests.support.memory_relay import memory_relay
from tests.support.policies import limits_with
from tests.support.raw_http2 import message
from tests.support.waiting import until
from vecguard.errors import Status, UnavailableError
from vecguard.proxy.http2.errors import ErrorCode

HELLO = message(b"hello")


async def test_a_call_is_carried_there_and_back():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO)
        assert backend.value(there, b":path") == b"/a.B/C"
        assert backend.data_of(there) == HELLO
        assert backend.has_ended(there)
        backend.answer(there, message(b"world"))
        await relay.quiet()
        assert client.data_of(call) == message(b"world")
        assert client.status(call) == Status.OK.value
        assert not len(relay.open_calls)


async def test_both_directions_stay_open_as_long_as_both_sides_speak():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, end=False)
        for number in range(3):
            text = message(b"%d" % number)
            client.say(call, text)
            await relay.quiet()
            assert backend.data_of(there).endswith(text)
            if not number:
                backend.begin(there)
            backend.say(there, text)
            await relay.quiet()
            assert client.data_of(call).endswith(text)
        client.finish(call)
        backend.finish(there, (b"grpc-status", b"5"))
        await relay.quiet()
        assert client.status(call) == Status.NOT_FOUND.value


async def test_a_client_that_cancels_cancels_at_the_backend():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, end=False)
        client.reset(call)
        await relay.quiet()
        assert backend.was_reset(there) == ErrorCode.CANCEL
        assert [code for _, code, _ in relay.listener.call_counts.counts()] == [Status.CANCELLED]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.CANCEL, Status.CANCELLED),
        (ErrorCode.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED),
        (ErrorCode.INTERNAL_ERROR, Status.INTERNAL),
    ],
)
async def test_a_reset_by_the_backend_is_told_by_its_meaning(code, status):
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, end=False)
        backend.reset(there, code)
        await relay.quiet()
        assert client.status(call) == status.value


async def test_a_refused_request_is_sent_once_more():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO)
        backend.reset(there, ErrorCode.REFUSED_STREAM)
        await relay.quiet()
        again = max(backend.streams)
        assert again > there
        assert backend.data_of(again) == HELLO
        assert backend.has_ended(again)
        backend.answer(again)
        await relay.quiet()
        assert client.status(call) == Status.OK.value


async def test_a_request_that_is_refused_thrice_is_given_up():
    async with memory_relay() as relay:
        client = relay.client()
        call, _, backend = await relay.arrived(client, b"/a.B/C", HELLO)
        for _ in range(3):
            assert client.status(call) is None
            backend.reset(max(backend.streams), ErrorCode.REFUSED_STREAM)
            await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value
        assert len(backend.streams) == 3


async def test_a_refusal_after_the_answer_began_is_no_reason_to_send_again():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO)
        backend.begin(there)
        await relay.quiet()
        backend.reset(there, ErrorCode.REFUSED_STREAM)
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value
        assert len(backend.streams) == 1


async def test_what_is_sent_again_does_not_open_the_client_s_window_twice():
    """A window that is opened twice lets a client send more than its window."""
    async with memory_relay(limits=limits_with(stream_window_bytes=20)) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", message(bytes(5)), end=False)
        await relay.quiet()
        backend.reset(there, ErrorCode.REFUSED_STREAM)
        await relay.quiet()
        stream = client.streams[call]
        assert stream.send_window == 20
        client.say(call, message(bytes(10)))
        await relay.quiet()
        assert backend.data_of(max(backend.streams)) == message(bytes(5)) + message(bytes(10))
        assert stream.send_window == 20


async def test_a_lost_backend_ends_its_calls():
    async with memory_relay() as relay:
        client = relay.client()
        call, _, backend = await relay.arrived(client, end=False)
        backend.cut()
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value


async def test_an_answer_that_ends_before_its_request_stops_the_request():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO, end=False)
        backend.answer(there, status=b"8")
        await relay.quiet()
        assert client.status(call) == Status.RESOURCE_EXHAUSTED.value
        (link,) = relay.upstream.links
        assert not link.connection.streams
        assert link._cancelled == 1


async def test_a_reset_after_the_answer_does_not_change_the_answer():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO, end=False)
        backend.answer(there)
        backend.reset(there, ErrorCode.NO_ERROR)
        await relay.quiet()
        assert client.status(call) == Status.OK.value


async def test_a_reset_does_not_change_an_answer_that_waits_for_its_client():
    async with memory_relay() as relay:
        client = relay.client(limits=limits_with(stream_window_bytes=10))
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO, end=False)
        backend.answer(there, message(bytes(100)))
        backend.reset(there, ErrorCode.INTERNAL_ERROR)
        await relay.quiet()
        assert client.status(call) is None
        client.connection.consumed(client.streams[call], 10)
        while client.status(call) is None:
            before = len(client.data_of(call))
            await relay.quiet()
            client.connection.consumed(client.streams[call], len(client.data_of(call)) - before)
        assert client.data_of(call) == message(bytes(100))
        assert client.status(call) == Status.OK.value


async def test_an_interim_answer_ends_nothing():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        backend.begin(there, http_status=b"103")
        await relay.quiet()
        assert client.status(call) is None
        backend.answer(there)
        await relay.quiet()
        assert client.status(call) == Status.OK.value


async def test_a_status_in_the_first_block_is_the_whole_answer():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        backend.begin(there, (b"grpc-status", b"12"), end=True)
        await relay.quiet()
        assert client.status(call) == Status.UNIMPLEMENTED.value


async def test_data_before_headers_breaks_http2():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, end=False)
        backend.say(there, HELLO)
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value
        assert backend.was_reset(there) == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("data", [b"", HELLO, HELLO[:-1]])
async def test_an_answer_that_ends_without_a_status_is_the_backend_s_error(data):
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        backend.begin(there)
        backend.say(there, data, end=True)
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value
        where = b"in the middle of a message" if data == HELLO[:-1] else b"without a gRPC status"
        assert where in client.value(call, b"grpc-message")


async def test_trailers_within_a_message_are_the_backend_s_error():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        backend.answer(there, HELLO[:-1])
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value


async def test_an_answer_shorter_than_its_content_length_is_malformed():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        backend.begin(there, (b"content-length", b"100"))
        backend.say(there, HELLO)
        backend.finish(there, (b"grpc-status", b"0"))
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value
        assert client.data_of(call) == HELLO


@pytest.mark.parametrize("length", [b"9", b"11"])
async def test_a_request_of_another_length_than_it_says_is_reset(length):
    async with memory_relay() as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO, (b"content-length", length))
        await relay.quiet()
        assert client.was_reset(call) == ErrorCode.PROTOCOL_ERROR


async def test_a_request_that_ends_within_a_message_is_refused():
    async with memory_relay() as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO[:-1])
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value


async def test_a_request_over_its_limit_is_refused():
    async with memory_relay(request_bytes=4) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO)
        await relay.quiet()
        assert client.status(call) == Status.RESOURCE_EXHAUSTED.value


async def test_an_answer_over_its_limit_ends_the_call():
    async with memory_relay(answer_bytes=4) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        backend.begin(there)
        backend.say(there, HELLO)
        await relay.quiet()
        assert client.status(call) == Status.RESOURCE_EXHAUSTED.value
        assert backend.was_reset(there) == ErrorCode.CANCEL


async def test_a_call_ends_at_its_deadline_and_the_backend_learns_it():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(
            client, b"/a.B/C", HELLO, (b"grpc-timeout", b"10m")
        )
        assert backend.value(there, b"grpc-timeout").endswith((b"m", b"u", b"n"))
        await until(lambda: client.status(call) is not None)
        assert client.status(call) == Status.DEADLINE_EXCEEDED.value
        await relay.quiet()
        assert backend.was_reset(there) == ErrorCode.CANCEL


REVOKED = UnavailableError("the login is revoked")


async def test_a_revocation_ends_a_call_that_streams():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, end=False)
        backend.begin(there)
        await relay.quiet()
        assert relay.open_calls.end_older(frozenset({"alice"}), 8, REVOKED) == 1
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value
        assert backend.was_reset(there) == ErrorCode.CANCEL


@pytest.mark.parametrize(("data", "ended"), [(HELLO, 0), (HELLO[:-1], 1), (b"", 1)])
async def test_what_is_not_revocable_is_carried_through_once_it_has_arrived(data, ended):
    async with memory_relay(revocable=False) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", data, end=False)
        assert relay.open_calls.end_older(frozenset({"alice"}), 8, REVOKED) == ended
        await relay.quiet()
        if not ended:
            backend.answer(there)
            await relay.quiet()
            assert client.status(call) == Status.OK.value
        else:
            assert client.status(call) == Status.UNAVAILABLE.value


async def test_a_request_that_waits_for_the_backend_has_not_arrived():
    options = {"revocable": False, "backend_limits": limits_with(stream_window_bytes=5)}
    async with memory_relay(**options) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", HELLO, end=False)
        assert backend.data_of(there) == HELLO[:5]
        assert relay.open_calls.end_older(frozenset({"alice"}), 8, REVOKED) == 1
        await relay.quiet()
        assert client.status(call) == Status.UNAVAILABLE.value


async def test_a_bounded_request_is_sent_when_it_has_arrived():
    async with memory_relay(max_request_bytes=100) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO[:-1], end=False)
        await relay.quiet()
        assert not relay.backends
        client.say(call, HELLO[-1:])
        await relay.quiet()
        (backend,) = relay.backends
        assert backend.data_of(1) == HELLO
        backend.answer(1)
        await relay.quiet()
        assert client.status(call) == Status.OK.value


async def test_a_bounded_request_over_its_bound_is_refused():
    async with memory_relay(request_bytes=4) as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", HELLO, end=False)
        await relay.quiet()
        assert client.status(call) == Status.RESOURCE_EXHAUSTED.value
        assert not relay.backends


async def test_a_slow_client_holds_its_backend_back():
    async with memory_relay() as relay:
        client = relay.client(limits=limits_with(stream_window_bytes=1000))
        call, there, backend = await relay.arrived(client)
        backend.begin(there)
        backend.say(there, message(bytes(3_000_000)))
        await relay.quiet()
        assert len(client.data_of(call)) == 1000
        # What waits in the relay is bounded by one stream's window.
        held = relay.listener.buffers.held
        assert held <= 2**20 + 4096
        assert backend.streams[there].queued > 0


async def test_a_call_leaves_no_garbage_in_a_ring():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client)
        (opened,) = client.link.calls()
        backend.answer(there)
        await relay.quiet()
        assert client.status(call) == 0
        assert opened.is_over
        assert opened.client.owner is None
        assert opened.upstream.owner is None
