"""A call that is cut after each of its frames, in every way, leaves nothing behind.

Both peers are made of frames, so that each point of an exchange is a state of its own.
"""

import asyncio
import gc

import pytest
from h2.events import DataReceived, RequestReceived, ResponseReceived, StreamEnded

from tests.support.raw_http2 import (
    ANSWER,
    OK,
    message,
    raw_backend,
    raw_client,
    request_headers,
    round_trip,
)
from tests.support.relay import relaying
from tests.support.relay_parts import own_tasks
from tests.support.waiting import eventually
from vecguard.errors import DeadlineError, VecguardError
from vecguard.proxy.relay.calls.call import Call

WHOLE = message(bytes(range(200)))
HALF = len(WHOLE) // 2


class Exchange:
    """One call between a raw client and a raw backend, frame by frame."""

    def __init__(self, relay, client, backend, number):
        self.relay, self.client, self._backend = relay, client, backend
        self._path = b"/a.B/Number%d" % number
        self.mine = self.theirs = 0
        self.peer = None

    async def play(self, frame):
        """One frame, until it has reached the other side, or a queue before it."""
        await getattr(self, frame)()

    async def begin(self):
        """The request's headers."""

        async def it_has_arrived():
            # The pool may say for a moment that the backend is lost.
            if not self.mine or self.client.headers(self.mine):
                self.mine = self.client.request(request_headers(self._path), end=False)
            for peer in self._backend._all:
                for event in peer.events:
                    if isinstance(event, RequestReceived) and (b":path", self._path) in [
                        (bytes(name), bytes(value)) for name, value in event.headers
                    ]:
                        self.peer, self.theirs = peer, event.stream_id
            return self.theirs

        await eventually(it_has_arrived)

    async def ask(self):
        """Half of a message, to the backend."""
        await self._send(self.client, self.mine, self.peer, self.theirs)

    async def ask_last(self):
        """The end of the request."""
        self.client.h2.send_data(self.mine, b"", end_stream=True)
        self.client.flush()
        await self.peer.wait_for(StreamEnded, self.theirs)

    async def answer(self):
        """The response's headers."""
        self.peer.h2.send_headers(self.theirs, list(ANSWER))
        self.peer.flush()
        await self.client.wait_for(ResponseReceived, self.mine)

    async def tell(self):
        """Half of a message, to the client."""
        await self._send(self.peer, self.theirs, self.client, self.mine)

    async def answer_last(self):
        """The trailers."""
        self.peer.h2.send_headers(self.theirs, list(OK), end_stream=True)
        self.peer.flush()
        await self.client.wait_for(StreamEnded, self.mine)

    async def ask_held(self):
        """A message that the backend's window holds back."""
        self._send_held(self.client, self.mine)
        await self._queued(lambda call: call.upstream)

    async def tell_held(self):
        """A message that the client's window holds back."""
        self._send_held(self.peer, self.theirs)
        await self._queued(lambda call: call.client)

    async def answer_last_held(self):
        """Trailers that wait behind the message."""
        self.peer.h2.send_headers(self.theirs, list(OK), end_stream=True)
        self.peer.flush()
        await round_trip(self.peer)

    @staticmethod
    def _send_held(sender, stream_id):
        sender.h2.send_data(stream_id, message(bytes(5000)))
        sender.flush()

    async def _queued(self, stream_of):
        async def something_waits():
            return any(stream_of(call).queued for call in self.relay.open_calls)

        await eventually(something_waits)

    @staticmethod
    async def _send(sender, sending, receiver, receiving):
        before = receiver.received_bytes(receiving)
        half = WHOLE[HALF:] if before % len(WHOLE) else WHOLE[:HALF]
        sender.h2.send_data(sending, half)
        sender.flush()
        await receiver.until(lambda: receiver.received_bytes(receiving) == before + len(half))


UNARY = ("begin", "ask", "ask", "ask_last", "answer", "tell", "tell", "answer_last")
BIDI = (
    *("begin", "answer", "ask", "tell", "ask", "tell", "ask", "tell", "ask", "tell"),
    *("ask_last", "answer_last"),
)
HELD = ("begin", "ask_held", "answer", "tell_held", "answer_last_held")
# Of the held ones nobody takes what he gets.
OPTIONS = {
    UNARY: {},
    BIDI: {},
    HELD: {"initial_window": 100, "acknowledges": False},
}


class Cut:
    """The ways in which a call is cut."""

    @staticmethod
    async def client_resets(exchange):
        exchange.client.h2.reset_stream(exchange.mine, 8)
        exchange.client.flush()

    @staticmethod
    async def client_vanishes(exchange):
        exchange.client.writer.transport.abort()

    @staticmethod
    async def backend_resets(exchange):
        exchange.peer.h2.reset_stream(exchange.theirs, 2)
        exchange.peer.flush()

    @staticmethod
    async def backend_vanishes(exchange):
        exchange.peer.writer.transport.abort()

    @staticmethod
    async def deadline_passes(exchange):
        for call in tuple(exchange.relay.open_calls):
            call.end(DeadlineError("the deadline of the call has passed"))

    @staticmethod
    async def login_is_revoked(exchange):
        exchange.relay.open_calls.end_older(frozenset({"alice"}), 8, VecguardError("revoked"))


CUTS = [name for name in vars(Cut) if not name.startswith("_")]


async def drained(connection):
    """Waits until what was to be sent on a connection is sent."""

    async def nothing_waits():
        return not connection.sender._out and not connection.sender.waiting

    await eventually(nothing_waits)


async def assert_nothing_is_left(exchange, calls):
    relay = exchange.relay
    await relay.idle()
    for call in calls:
        assert call.is_over
        assert (call.client.queued, call.upstream.queued) == (0, 0)
        assert call.client.closed
        for connection, peer in (
            (call.client_link.connection, exchange.client),
            (call._link and call._link.connection, exchange.peer),
        ):
            if connection is None:
                continue
            assert not connection.streams
            if peer is None or peer.closed.is_set() or peer.writer.transport.is_closing():
                continue
            await drained(connection)
            await round_trip(peer)
            # The connection's windows in both directions: all credit is back, or with the
            # peer, and both sides count the same.
            limit = connection._limits.connection_window_bytes
            assert connection._window + connection._owed == limit
            assert connection._window == peer.h2.outbound_flow_control_window
            assert connection.sender.window == (
                peer.h2._inbound_flow_control_window_manager.current_window_size
            )
    assert own_tasks() == []


def living_calls():
    """Every call that something still refers to."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is Call]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("frames", [UNARY, BIDI, HELD], ids=["unary", "bidi", "held"])
async def test_a_call_cut_after_any_frame_leaves_nothing(frames, cut):
    options = OPTIONS[frames]
    if frames is HELD and cut.startswith("backend"):
        frames = frames[:-1]  # after a whole answer the backend has no say
    number = 0
    before = living_calls()
    async with raw_backend(**options) as backend, relaying(backend.port) as relay:
        for point in range(1, len(frames) + 1):
            async with raw_client(relay.port, **options) as client:
                number += 1
                exchange = Exchange(relay, client, backend, number)
                for frame in frames[:point]:
                    await exchange.play(frame)
                calls = list(relay.open_calls)
                if point < len(frames) or options:
                    assert len(calls) == 1
                    await getattr(Cut, cut)(exchange)
                await assert_nothing_is_left(exchange, calls)
                # And a next call works, on the same connections where they live.
                if not client.writer.transport.is_closing():
                    number += 1
                    await _works(Exchange(relay, client, backend, number), options)
            del calls, exchange
        await relay.idle()
        # An error that is a parameter of another test keeps the calls in its traceback.
        assert not [call for call in living_calls() if call not in before]


async def _works(exchange, options):
    frames = UNARY if not options else ("begin", "ask_last", "answer", "answer_last")
    async with asyncio.timeout(10.0):
        for frame in frames:
            await exchange.play(frame)


async def test_many_calls_cut_in_mid_message_cost_no_window():
    """More bytes than the connection's window has, in calls of which none is finished."""
    async with (
        raw_backend() as backend,
        relaying(backend.port) as relay,
        raw_client(relay.port) as client,
    ):
        for number in range(1, 12):
            exchange = Exchange(relay, client, backend, number)
            await exchange.play("begin")
            await exchange.play("answer")
            for _ in range(20):
                exchange.peer.h2.send_data(exchange.theirs, message(bytes(1000)))
                exchange.client.h2.send_data(exchange.mine, message(bytes(1000)))
            exchange.peer.flush()
            exchange.client.flush()
            await client.wait_for(DataReceived, exchange.mine)
            calls = list(relay.open_calls)
            await Cut.client_resets(exchange)
            await assert_nothing_is_left(exchange, calls)
