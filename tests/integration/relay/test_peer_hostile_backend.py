"""A backend that breaks the rules of answers (RFC 9113, section 8): its call ends at once.

The call gets a status, its neighbours on the same connection go on, and nothing is left.
"""

import pytest
from h2.events import RequestReceived

from tests.support.frame_sequences import frame
from tests.support.raw_http2 import (
    ANSWER,
    DEADLINE_SECONDS,
    OK,
    message,
    raw_client,
    request_headers,
    round_trip,
)
from tests.support.waiting import eventually

END_STREAM, END_HEADERS = 1, 4
INTERNAL, UNAVAILABLE = b"13", b"14"
_200 = b"\x88"


def headers(stream_id, fields, *, end=False):
    """Literal fields, as they are."""
    block = b"".join(
        b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in fields
    )
    return frame(1, END_HEADERS | (END_STREAM if end else 0), stream_id, block)


def answer(stream_id, *more, end=False):
    return headers(stream_id, [*ANSWER, *more], end=end)


def data(stream_id, payload, *, end=False):
    return frame(0, int(end), stream_id, payload)


# Section, what the backend says on the stream, the status that the client must get.
BROKEN = [
    ("8.1 no headers, only an end", lambda i: data(i, b"", end=True), INTERNAL),
    ("8.1 data before headers, with an end", lambda i: data(i, message(b"x"), end=True), INTERNAL),
    ("8.1 data before headers", lambda i: data(i, message(b"x")) + answer(i), INTERNAL),
    ("8.1 an end without trailers", lambda i: answer(i) + data(i, b"", end=True), INTERNAL),
    ("8.1 headers alone and an end", lambda i: answer(i, end=True), INTERNAL),
    ("8.1 a second block that does not end", lambda i: answer(i) + answer(i), INTERNAL),
    (
        "8.1.1 less data than content-length",
        lambda i: answer(i, (b"content-length", b"9")) + data(i, message(b"x")) + trailers(i),
        INTERNAL,
    ),
    (
        "8.1.1 more data than content-length",
        lambda i: answer(i, (b"content-length", b"1")) + data(i, message(b"x")) + trailers(i),
        INTERNAL,
    ),
    ("8.2.1 a capital letter", lambda i: answer(i, (b"Name", b"v")), INTERNAL),
    ("8.2.1 a line break in a value", lambda i: answer(i, (b"name", b"v\nw")), INTERNAL),
    ("8.2.2 a connection's header", lambda i: answer(i, (b"connection", b"close")), INTERNAL),
    ("8.3 no :status", lambda i: headers(i, ANSWER[1:]), INTERNAL),
    ("8.3 two :status", lambda i: headers(i, [ANSWER[0], *ANSWER]), INTERNAL),
    ("8.3 :status after a field", lambda i: headers(i, [*reversed(ANSWER)]), INTERNAL),
    ("8.3 an unknown pseudo-header", lambda i: headers(i, [*ANSWER, (b":x", b"1")]), INTERNAL),
    ("8.3 a request's pseudo-header", lambda i: answer(i, (b":path", b"/")), INTERNAL),
    (
        "8.1 a pseudo-header in trailers",
        lambda i: answer(i) + headers(i, [ANSWER[0], *OK], end=True),
        INTERNAL,
    ),
    (
        "8.2.1 a capital letter in trailers",
        lambda i: answer(i) + headers(i, [(b"Late", b"1"), *OK], end=True),
        INTERNAL,
    ),
    ("6.9 WINDOW_UPDATE by 0", lambda i: frame(8, 0, i, bytes(4)), INTERNAL),
    ("6.9.1 a window over 2^31-1", lambda i: frame(8, 0, i, (2**31 - 1).to_bytes(4)), INTERNAL),
]


def trailers(stream_id):
    return headers(stream_id, OK, end=True)


@pytest.mark.parametrize(
    ("said", "status"),
    [(said, status) for _, said, status in BROKEN],
    ids=[section for section, *_ in BROKEN],
)
async def test_a_broken_answer_costs_one_call(raw_relay, raw_backend, said, status):
    async with raw_client(raw_relay.port) as client:
        neighbour = client.request(request_headers(b"/a.B/Neighbour"))
        backend, beside = await raw_backend.requested()
        mine = client.request(request_headers(b"/a.B/Mine"))
        await backend.until(
            lambda: sum(isinstance(event, RequestReceived) for event in backend.events) == 2
        )
        theirs = max(
            event.stream_id for event in backend.events if isinstance(event, RequestReceived)
        )
        backend.send_raw(said(theirs))
        await round_trip(backend)
        await round_trip(client)  # the relay has said all that it has to say about it
        ended = dict(client.headers(mine)) | dict(client.trailers(mine))
        assert ended.get(b"grpc-status") == status
        backend.answer(beside, message(b"y"))
        assert await client.response(neighbour) == (list(ANSWER), message(b"y"), list(OK))
        await raw_relay.idle()


async def test_8_1_an_interim_answer_is_no_end_whatever_it_says(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.send_raw(headers(stream_id, [(b":status", b"103"), *OK]))
        await round_trip(backend)
        backend.answer(stream_id, message(b"y"))
        assert await client.response(mine) == (list(ANSWER), message(b"y"), list(OK))


CONNECTION_FAULTS = [
    ("6.5 SETTINGS of a broken size", frame(4, 0, 0, bytes(5))),
    ("6.6 PUSH_PROMISE", frame(5, 4, 1, (2).to_bytes(4) + b"\x83")),
    ("5.1.1 HEADERS on an even number", frame(1, 5, 2, _200)),
    ("4.3 no HPACK", frame(1, 4, 1, b"\x80")),
    ("no HTTP/2 at all", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
]


@pytest.mark.parametrize(
    "said", [said for _, said in CONNECTION_FAULTS], ids=[name for name, _ in CONNECTION_FAULTS]
)
async def test_a_broken_connection_ends_its_calls_at_once_and_the_next_call_works(
    raw_relay, raw_backend, said
):
    async with raw_client(raw_relay.port) as client:
        calls = [client.request(request_headers(b"/a.B/Number%d" % n)) for n in range(3)]
        backend, _ = await raw_backend.requested()
        backend.send_raw(said)
        for call in calls:
            fields, _, _ = await client.response(call)
            assert dict(fields)[b"grpc-status"] == UNAVAILABLE
        path, again = b"/a.B/Again", []

        async def it_has_arrived():
            # The pool may say for a moment that the backend is lost.
            if not again or client.headers(again[-1]):
                again.append(client.request(request_headers(path)))
            return any(requested(peer, path) for peer in raw_backend._all)

        await eventually(it_has_arrived, DEADLINE_SECONDS)
        [(peer, stream_id)] = [
            (peer, found) for peer in raw_backend._all if (found := requested(peer, path))
        ]
        peer.answer(stream_id, message(b"x"))
        assert (await client.response(again[-1]))[2] == list(OK)


async def test_6_8_calls_that_a_goaway_left_out_are_answered_by_another_connection(
    raw_relay, raw_backend
):
    async with raw_client(raw_relay.port) as client:
        calls = {
            b"/a.B/Number%d" % n: client.request(request_headers(b"/a.B/Number%d" % n))
            for n in range(3)
        }
        first, _ = await raw_backend.requested()
        first.send_raw(frame(7, 0, 0, bytes(8)))
        second, _ = await raw_backend.requested()
        for path, mine in calls.items():
            stream_id = await second.until(lambda path=path: requested(second, path))
            second.answer(stream_id, message(path))
            assert await client.response(mine) == (list(ANSWER), message(path), list(OK))


def requested(peer, path):
    """The stream on which the path was asked for; 0 if there is none."""
    return next(
        (
            event.stream_id
            for event in peer.events
            if isinstance(event, RequestReceived)
            and (b":path", path) in [(bytes(name), bytes(value)) for name, value in event.headers]
        ),
        0,
    )
