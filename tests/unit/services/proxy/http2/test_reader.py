"""Frames that are read in several turns: the same frames, whatever ended a turn and where."""

from math import inf
from time import monotonic

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frame_sequences import REQUEST, SCRIPTS, Writer, frame
from tests.support.http2_handler import RecordingHandler
from tests.support.policies import limits_with
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.buffers import Account, Buffers
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import Http2ConnectionError, NoPrefaceError

HELLO = frames.PREFACE + frames.settings({})
PAST = 0.0
PING = frame(frames.PING, 0, 0, bytes(8))
#: What is read before the clock is looked at.
UNTIMED = PING * 61


def sent(script):
    writer = Writer(client_side=True)
    steps = (step for step in script if step.kind not in {"answer", "reset", "oversized"})
    return HELLO + b"".join(map(writer.write, steps))


class Stopping(RecordingHandler):
    """Asks the connection to stop with each so many-th call.

    Attributes:
        every: 0: never.
    """

    def __init__(self, every):
        super().__init__()
        self.every = every
        self.connection = None

    def accepted(self, stream, fields, end):
        super().accepted(stream, fields, end)
        if self.every and not len(self.streams) % self.every:
            self.connection.stop()


def connected(*, every=0, buffers=None, clock=monotonic):
    handler = Stopping(every)
    account = Account(buffers or Buffers(2**40))
    connection = Connection(
        handler, limits_with(), client_side=False, wake=lambda: None, clock=clock, account=account
    )
    handler.connection = connection
    return handler, connection, account


def outcome(handler, connection, act):
    """All that came of it: events, output, error."""
    code = None
    try:
        act()
    except Http2ConnectionError as fault:
        code = fault.code
    return list(handler.events), connection.sender.take(), code


def at_once(data):
    handler, connection, _ = connected()
    return outcome(handler, connection, lambda: connection.receive(data))


def in_turns(pieces, *, every, until):
    """Each piece comes by a read or is held; the flag with it says which."""
    handler, connection, account = connected(every=every)

    def act():
        for data, is_held in pieces:
            if is_held:
                connection.hold(data)
            else:
                connection.receive(data, until)
        while connection.has_more:
            connection.receive(b"", until)

    result = outcome(handler, connection, act)
    connection.abandon()
    assert account.held == 0
    return result


@settings(max_examples=150, deadline=None)
@given(
    SCRIPTS,
    st.lists(st.tuples(st.integers(0, 2**16), st.booleans()), max_size=6),
    st.sampled_from((0, 1, 2, 3)),
    st.sampled_from((PAST, inf)),
)
def test_frames_that_are_read_in_turns_have_the_same_outcome(script, cuts, every, until):
    data = sent(script)
    places = sorted((place % (len(data) + 1), is_held) for place, is_held in cuts)
    pieces, at = [], 0
    for place, is_held in places:
        pieces.append((data[at:place], is_held))
        at = place
    pieces.append((data[at:], False))
    assert in_turns(pieces, every=every, until=until) == at_once(data)


@settings(max_examples=10, deadline=None)
@given(SCRIPTS, st.booleans())
def test_frames_that_are_held_at_any_byte_have_the_same_outcome(script, is_held):
    data = sent([step for step in script if step.size != 1001])
    expected = at_once(data)
    for cut in range(len(data) + 1):
        pieces = [(data[:cut], is_held), (data[cut:], not is_held)]
        assert in_turns(pieces, every=1, until=PAST) == expected, f"cut at {cut}"


def test_what_fits_into_a_kibibyte_is_read_whatever_the_time():
    handler, connection, _ = connected()
    connection.receive(HELLO + PING * 3, PAST)
    assert not connection.has_more
    assert handler.events == [("settings_received",)]


def test_time_that_is_up_leaves_the_rest_for_the_next_read():
    _, connection, _ = connected()
    connection.receive(HELLO, PAST)
    connection.sender.take()
    connection.receive(UNTIMED * 3, PAST)
    reads = 1
    while connection.has_more:
        connection.receive(b"", PAST)
        reads += 1
    assert reads == 3
    assert connection.sender.take() == frame(frames.PING, frames.ACK, 0, bytes(8)) * 183


def test_time_is_looked_at_now_and_then_alone():
    looks = []
    _, connection, _ = connected(clock=lambda: looks.append(1) or 0.0)
    connection.receive(HELLO + UNTIMED * 3, 1.0)
    assert not connection.has_more
    assert len(looks) == 3


def test_a_read_without_an_end_needs_no_clock():
    _, connection, _ = connected(clock=None)
    connection.receive(HELLO + UNTIMED * 3)
    assert not connection.has_more


def test_a_read_until_a_time_needs_a_clock():
    _, connection, _ = connected(clock=None)
    with pytest.raises(RuntimeError, match="clock"):
        connection.receive(HELLO + UNTIMED, 1.0)


def test_a_read_that_is_stopped_ends_with_its_frame():
    handler, connection, _ = connected(every=1)
    block = Encoder().encode(REQUEST)
    connection.receive(HELLO)
    connection.receive(b"".join(frame(frames.HEADERS, 5, number, block) for number in (1, 3, 5)))
    assert list(handler.streams) == [1]
    connection.receive(b"")
    assert list(handler.streams) == [1, 3]
    assert connection.has_more
    connection.receive(b"")
    assert not connection.has_more
    assert list(handler.streams) == [1, 3, 5]


def test_a_stop_of_the_past_does_not_end_the_next_read():
    _, connection, _ = connected()
    connection.stop()
    connection.receive(HELLO + PING * 2)
    assert not connection.has_more


def test_what_is_held_is_counted_until_it_is_read_or_given_up():
    buffers = Buffers(2**20)
    _, connection, account = connected(buffers=buffers)
    connection.hold(HELLO + PING)
    assert account.held == buffers.held == len(HELLO + PING)
    connection.receive(PING[:5])
    assert account.held == 5
    connection.hold(PING)
    assert account.held == 5 + len(PING)
    connection.abandon()
    assert account.held == buffers.held == 0
    assert not connection.has_more


@pytest.mark.parametrize("held", [b"GET / HTTP/1.1\r\n\r\n", frames.PREFACE[:9] + b"x"])
def test_what_is_held_of_no_preface_is_told_as_it_was_said(held):
    _, connection, _ = connected()
    connection.hold(held[:4])
    connection.hold(held[4:])
    with pytest.raises(NoPrefaceError) as raised:
        connection.receive(b"", PAST)
    assert raised.value.said == held
