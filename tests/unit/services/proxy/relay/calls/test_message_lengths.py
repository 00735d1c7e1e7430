"""Messages are measured by their prefixes alone, however their bytes come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.raw_http2 import message
from vecguard.errors import MessageTooLargeError
from vecguard.proxy.relay.calls.message_lengths import MessageMeter

MAX = 64
MESSAGES = st.lists(st.binary(max_size=MAX), max_size=6)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def pieces(data, cuts):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(MESSAGES, CUTS)
def test_a_meter_is_between_messages_exactly_where_one_ends(bodies, cuts):
    meter = MessageMeter(MAX)
    ends, at = {0}, 0
    for body in bodies:
        at += len(message(body))
        ends.add(at)
    passed = 0
    for piece in pieces(b"".join(map(message, bodies)), cuts):
        meter.passes(piece)
        passed += len(piece)
        assert meter.passed == passed
        assert meter.is_between == (passed in ends)


@given(MESSAGES, st.binary(min_size=MAX + 1, max_size=2 * MAX), CUTS)
def test_a_message_over_the_limit_is_refused_as_soon_as_its_prefix_has_come(bodies, large, cuts):
    before = b"".join(map(message, bodies))
    meter = MessageMeter(MAX)
    passed = 0
    for piece in pieces(before + message(large), cuts):
        passed += len(piece)
        if passed < len(before) + 5:
            meter.passes(piece)
            continue
        with pytest.raises(MessageTooLargeError, match=rf"of {len(large)} bytes .* {MAX}"):
            meter.passes(piece)
        break


@pytest.mark.parametrize("body", [b"", b"1", bytes(MAX)])
def test_what_is_cut_is_within_a_prefix_or_a_body(body):
    meter = MessageMeter(MAX)
    whole = message(body)
    for passed, byte in enumerate(whole, start=1):
        meter.passes(bytes((byte,)))
        # A prefix by itself is no shred: some libraries write it so.
        assert meter.is_cut == (passed not in {5, len(whole)})


def test_a_limit_counts_the_message_without_its_prefix():
    meter = MessageMeter(4)
    meter.passes(message(bytes(4)))
    with pytest.raises(MessageTooLargeError):
        meter.passes(message(bytes(5)))


def test_a_lower_limit_counts_for_a_message_that_has_passed():
    meter = MessageMeter(MAX)
    meter.passes(message(bytes(10)))
    meter.restrict(10)
    with pytest.raises(MessageTooLargeError, match=r"of 10 bytes .* 9"):
        meter.restrict(9)


def test_a_lower_limit_counts_for_a_message_that_is_passing():
    meter = MessageMeter(MAX)
    meter.passes(message(bytes(20))[:8])
    meter.restrict(20)
    with pytest.raises(MessageTooLargeError, match=r"of 20 bytes .* 19"):
        meter.restrict(19)


def test_a_limit_is_never_raised():
    meter = MessageMeter(4)
    meter.restrict(100)
    with pytest.raises(MessageTooLargeError):
        meter.passes(message(bytes(5)))
