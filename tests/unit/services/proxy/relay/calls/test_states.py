"""Whatever happens to a call, and in which order, it changes its state as the tables say."""

import asyncio
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_relay import memory_relay
from tests.support.policies import limits_with, pool_with
from tests.support.raw_http2 import message
from tests.support.scripted_permission import ScriptedAuthorizer
from vecguard.errors import UnavailableError
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2.errors import ErrorCode
from vecguard.proxy.relay.calls import states
from vecguard.proxy.relay.calls.call import Call
from vecguard.proxy.relay.clients import client_link
from vecguard.proxy.relay.limits import RelayLimit

if is_compiled():
    pytest.skip("compiled classes cannot be watched", allow_module_level=True)

TABLES = {"request_state": states.REQUEST_CHANGES, "answer_state": states.ANSWER_CHANGES}

#: The changes of the calls that were watched: attribute, before, after.
SEEN = []


class WatchedCall(Call):
    """Notes each change of state."""

    __slots__ = ()

    def __setattr__(self, name, value):
        if name in TABLES:
            before = getattr(self, name, None)
            if before is not None:
                SEEN.append((name, before, value))
        super().__setattr__(name, value)


def is_open(end, stream_id):
    stream = end.streams.get(stream_id)
    return stream is not None and not stream.closed and not stream.sent_end


def client_says(relay, client, call):
    if is_open(client, call) and client.streams[call].ending is None:
        client.say(call, message(b"more"))


def client_ends(relay, client, call):
    if is_open(client, call) and client.streams[call].ending is None:
        client.finish(call)


def client_resets(relay, client, call):
    client.reset(call)


def client_reads(relay, client, call):
    stream = client.streams[call]
    if not stream.closed:
        client.connection.consumed(stream, 5)


def client_goes(relay, client, call):
    client.cut()


def answers(say):
    """Lets the backend speak on each stream that it has open."""

    def act(relay, client, call):
        for backend in relay.backends:
            for stream_id in list(backend.streams):
                if is_open(backend, stream_id) and backend.streams[stream_id].ending is None:
                    say(backend, stream_id)

    act.__name__ = say.__name__
    return act


@answers
def backend_begins(backend, stream_id):
    backend.begin(stream_id)


@answers
def backend_says(backend, stream_id):
    backend.say(stream_id, message(b"some data"))


@answers
def backend_ends(backend, stream_id):
    backend.finish(stream_id, (b"grpc-status", b"0"))


@answers
def backend_refuses(backend, stream_id):
    backend.reset(stream_id, ErrorCode.REFUSED_STREAM)


@answers
def backend_resets(backend, stream_id):
    backend.reset(stream_id, ErrorCode.INTERNAL_ERROR)


def backend_goes(relay, client, call):
    for backend in relay.backends:
        backend.cut()


def backend_leaves(relay, client, call):
    for backend in relay.backends:
        if not backend.is_lost:
            backend.connection.refuse_all()


REASON = UnavailableError("the test says so")


def relay_revokes(relay, client, call):
    relay.open_calls.end_older(frozenset({"alice"}), 8, REASON)


def relay_ends(relay, client, call):
    relay.open_calls.end_all(REASON)


def decides(relay, client, call):
    relay.authorizer.gate.set()


EVENTS = (
    client_says,
    client_ends,
    client_resets,
    client_reads,
    client_goes,
    backend_begins,
    backend_says,
    backend_ends,
    backend_refuses,
    backend_resets,
    backend_goes,
    backend_leaves,
    relay_revokes,
    relay_ends,
    decides,
)
#: How a permission of the test decides; None: the call needs none.
PERMISSIONS = (
    None,
    {},
    {"reads_request": False},
    {"is_late": True},
    {"is_late": True, "reads_request": False},
    {"error": REASON},
    {"error": REASON, "is_late": True},
)


async def play(events, is_bounded, is_slow, permission=None):
    client_limits = limits_with(stream_window_bytes=10) if is_slow else None
    options = {"max_request_bytes": 100} if is_bounded else {}
    authorizer = None if permission is None else ScriptedAuthorizer(**permission)
    async with memory_relay(
        pool=pool_with(connections=2), authorizer=authorizer, **options
    ) as relay:
        relay.authorizer = authorizer or ScriptedAuthorizer()
        client = relay.client(limits=client_limits)
        call = client.request(b"/a.B/C", message(b"hello")[: 3 if is_bounded else None], end=False)
        await relay.quiet()
        for event, is_waited_for in events:
            event(relay, client, call)
            if is_waited_for:
                await relay.quiet()
        assert not relay.hits.counts[RelayLimit.BUFFERED]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), st.booleans()), max_size=10),
    st.booleans(),
    st.booleans(),
    st.sampled_from(PERMISSIONS),
)
def test_every_change_of_state_is_in_the_tables(events, is_bounded, is_slow, permission):
    SEEN.clear()
    with patch.object(client_link, "Call", WatchedCall):
        asyncio.run(play(events, is_bounded, is_slow, permission))
    for name, before, after in SEEN:
        assert after in TABLES[name][before], (name, before, after)
    answer = [after for name, _, after in SEEN if name == "answer_state"]
    assert answer[-1] == states.OVER  # the relay is closed


@pytest.mark.parametrize(
    ("events", "is_bounded", "expected"),
    [
        (
            [backend_begins, backend_ends],
            False,
            [
                ("request_state", states.UNDECIDED, states.WAITING),
                ("request_state", states.WAITING, states.SENT),
                ("answer_state", states.AWAITED, states.BEGUN),
                ("answer_state", states.BEGUN, states.ENDED),
                ("answer_state", states.ENDED, states.OVER),
            ],
        ),
        (
            [client_resets],
            True,
            [
                ("request_state", states.UNDECIDED, states.COLLECTING),
                ("answer_state", states.AWAITED, states.OVER),
            ],
        ),
        (
            [backend_refuses, relay_ends],
            False,
            [
                ("request_state", states.UNDECIDED, states.WAITING),
                ("request_state", states.WAITING, states.SENT),
                ("request_state", states.SENT, states.WAITING),
                ("request_state", states.WAITING, states.SENT),
                ("answer_state", states.AWAITED, states.ENDED),
                ("answer_state", states.ENDED, states.OVER),
            ],
        ),
    ],
)
async def test_the_states_of_a_call_from_its_beginning_to_its_end(events, is_bounded, expected):
    SEEN.clear()
    with patch.object(client_link, "Call", WatchedCall):
        await play([(event, True) for event in events], is_bounded, is_slow=False)
    assert expected == SEEN
