"""RFC 9113 as a backend can break it, by section: the right error, at the right level.

What the frames of an answer mean together is judged by the relay; see
tests/integration/relay/test_peer_hostile_backend.py.
"""

import pytest

from tests.support.frame_sequences import frame
from tests.support.http2_handler import RecordingHandler, parsed
from tests.support.policies import limits_with
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.limits import MAX_STREAM_ID
from vecguard.proxy.http2.stream import Stream

HEADERS_200 = b"\x88"
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
LIMITS = limits_with(concurrent_streams=4, stream_window_bytes=1000, connection_window_bytes=70_000)


def answer(stream_id, *, end=False):
    return frame(frames.HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, HEADERS_200)


class Client:
    """A client's connection whose server has said its first words, with streams 1 and 3 open."""

    def __init__(self, limits=LIMITS):
        self.handler = RecordingHandler()
        self.connection = Connection(self.handler, limits, client_side=True, wake=lambda: None)
        self.connection.send_preface()
        self.connection.receive(frames.settings({}))
        self.streams = [self.open(end=True), self.open(end=False)]
        self.said()

    def open(self, *, end):
        stream = Stream(None)
        if end:
            stream.ending = b""
        self.connection.open(stream, b"\x83")
        return stream

    def hear(self, *data):
        self.connection.receive(b"".join(data))
        return self.said()

    def said(self):
        return parsed(self.connection.sender.take())


@pytest.fixture
def client():
    return Client()


CONNECTION_ERRORS = [
    # section, frames, code
    ("4.2 a frame over the size we allow", frame(0, 0, 1, bytes(16_385)), 6),
    ("4.3 a header block that is no HPACK", frame(1, 4, 1, b"\x80"), 9),
    ("4.3 a table larger than we allow", frame(1, 4, 1, b"\x3f\xe2\x1f\x88"), 9),
    ("5.1 DATA on an idle stream", frame(0, 0, 5, b"x"), 1),
    ("5.1 HEADERS on an idle stream", answer(5), 1),
    ("5.1 RST_STREAM on an idle stream", frame(3, 0, 5, bytes(4)), 1),
    ("5.1 WINDOW_UPDATE on an idle stream", frames.window_update(5, 1), 1),
    ("5.1.1 HEADERS on an even number", answer(2), 1),
    ("5.1.1 DATA on an even number", frame(0, 0, 2, b"x"), 1),
    ("5.1.1 RST_STREAM on an even number", frame(3, 0, 2, bytes(4)), 1),
    ("6.1 DATA on stream 0", frame(0, 0, 0, b"x"), 1),
    ("6.1 padding as long as the payload", frame(0, PADDED, 1, b"\x05xxxx"), 1),
    ("6.2 HEADERS on stream 0", answer(0), 1),
    ("6.2 another frame within a header block", frame(1, 0, 1) + frame(6, 0, 0, bytes(8)), 1),
    ("6.3 PRIORITY on stream 0", frame(2, 0, 0, bytes(5)), 1),
    ("6.4 RST_STREAM on stream 0", frame(3, 0, 0, bytes(4)), 1),
    ("6.4 RST_STREAM of another size", frame(3, 0, 1, bytes(3)), 6),
    ("6.5 SETTINGS on a stream", frame(4, 0, 1), 1),
    ("6.5 an acknowledgement that says something", frame(4, 1, 0, bytes(6)), 6),
    ("6.5 SETTINGS of a broken size", frame(4, 0, 0, bytes(7)), 6),
    ("6.5.2 a window over 2^31-1", frames.settings({4: 2**31}), 3),
    ("6.5.2 frames smaller than 2^14", frames.settings({5: 16_383}), 1),
    ("6.5.2 ENABLE_PUSH of 1 by a server", frames.settings({2: 1}), 1),
    ("6.6 PUSH_PROMISE that we forbade", frame(5, 4, 1, (2).to_bytes(4) + b"\x83"), 1),
    ("6.7 PING on a stream", frame(6, 0, 1, bytes(8)), 1),
    ("6.7 PING of another size", frame(6, 0, 0, bytes(9)), 6),
    ("6.8 GOAWAY on a stream", frame(7, 0, 1, bytes(8)), 1),
    ("6.8 GOAWAY that is cut", frame(7, 0, 0, bytes(7)), 6),
    ("6.9 WINDOW_UPDATE by 0", frame(8, 0, 0, bytes(4)), 1),
    ("6.9 WINDOW_UPDATE of another size", frame(8, 0, 0, bytes(5)), 6),
    ("6.9.1 the connection's window over 2^31-1", frames.window_update(0, 2**31 - 1), 3),
    ("6.10 CONTINUATION of nothing", frame(9, 4, 1), 1),
    ("6.10 CONTINUATION of another stream", frame(1, 0, 1) + frame(9, 4, 3), 1),
    ("10.5.1 CONTINUATIONs without end", frame(1, 0, 1) + frame(9, 0, 1) * 100, 11),
    ("10.5 a flood of PINGs", frame(6, 0, 0, bytes(8)) * 10_001, 11),
    ("10.5 a flood of SETTINGS", frame(4, 0, 0) * 1001, 11),
    ("10.5 a flood of DATA without data", answer(1) + frame(0, 0, 1) * 10_001, 11),
]


@pytest.mark.parametrize(("section", "said", "code"), CONNECTION_ERRORS)
def test_connection_error(client, section, said, code):
    with pytest.raises(Http2ConnectionError) as caught:
        client.hear(said)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frame(6, 0, 0, bytes(8)),
        frames.SETTINGS_ACK,
        answer(1),
    ],
)
def test_3_4_a_server_that_does_not_begin_with_settings(said):
    connection = Connection(RecordingHandler(), LIMITS, client_side=True, wake=lambda: None)
    connection.send_preface()
    with pytest.raises(Http2ConnectionError) as caught:
        connection.receive(said)
    assert caught.value.code in {ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR}


@pytest.mark.parametrize(
    ("section", "said", "expected"),
    [
        ("5.1 DATA after the end", answer(3, end=True) + frame(0, 0, 3, b"x"), (3, 5)),
        ("5.1 HEADERS after the end", answer(3, end=True) + answer(3, end=True), (3, 5)),
        ("6.3 PRIORITY of another size", frame(2, 0, 1, bytes(4)), (1, 6)),
        ("6.9 WINDOW_UPDATE by 0", frame(8, 0, 1, bytes(4)), (1, 1)),
        ("6.9.1 a window over 2^31-1", frames.window_update(3, 2**31 - 1), (3, 3)),
        ("6.9.1 more than the stream's window", answer(1) + frame(0, 0, 1, bytes(1001)), (1, 3)),
    ],
)
def test_stream_error(client, section, said, expected):
    resets = [
        (stream_id, int.from_bytes(payload))
        for kind, _, stream_id, payload in client.hear(said)
        if kind == frames.RST_STREAM
    ]
    assert resets == [expected]
    assert expected[0] not in client.connection.streams
    # And the connection goes on.
    assert client.hear(frame(6, 0, 0, b"12345678")) == [(frames.PING, 1, 0, b"12345678")]


def test_5_1_data_on_a_stream_that_both_have_ended_is_a_stream_error(client):
    client.hear(answer(1, end=True))
    assert client.hear(frame(0, 0, 1, b"x")) == [(frames.RST_STREAM, 0, 1, (5).to_bytes(4))]


def test_5_1_headers_on_a_stream_that_both_have_ended_are_a_connection_error(client):
    client.hear(answer(1, end=True))
    with pytest.raises(Http2ConnectionError):
        client.hear(answer(1, end=True))


def test_5_1_headers_after_the_peer_s_own_reset_cost_no_other_stream(client):
    client.hear(frame(3, 0, 1, bytes(4)), answer(1, end=True))
    assert 3 in client.connection.streams


@pytest.mark.parametrize(
    "late", [frame(0, 0, 3, b"x"), answer(3), answer(3, end=True), frame(3, 0, 3, bytes(4)),
             frames.window_update(3, 1)]
)  # fmt: skip
def test_5_1_what_was_under_way_to_a_stream_that_we_reset_is_ignored(client, late):
    client.connection.reset(client.streams[1], ErrorCode.CANCEL)
    client.said()
    assert client.hear(late) == []


def test_4_3_a_block_for_a_stream_that_we_reset_still_changes_the_table(client):
    client.connection.reset(client.streams[0], ErrorCode.CANCEL)
    client.hear(frame(1, 4, 1, b"\x88\x40\x01a\x01b"), frame(1, 4, 3, b"\x88\xbe"))
    assert (b"a", b"b") in client.handler.events[-1][2]


@pytest.mark.parametrize(
    "harmless",
    [
        frame(2, 0, 9, bytes(5)),  # 5.3.2 PRIORITY in any state
        frame(2, 0, 2, bytes(5)),
        frame(0xEE, 0xFF, 0, b"x"),  # 5.5
        frames.settings({0xBEEF: 7}),  # 6.5.2 unknown settings
        frames.settings({2: 0}),
        frame(6, 1, 0, bytes(8)),
        frames.SETTINGS_ACK,
    ],
)
def test_what_must_be_ignored_is_ignored(client, harmless):
    said = client.hear(harmless)
    assert [kind for kind, *_ in said] in ([], [frames.SETTINGS])
    client.hear(answer(1, end=True))
    assert 1 not in client.connection.streams


def test_6_5_2_the_server_s_limit_of_streams_holds(client):
    client.hear(frames.settings({3: 2}))
    assert not client.connection.has_room
    client.hear(answer(1, end=True))
    assert client.connection.has_room


def test_6_5_3_settings_are_acknowledged(client):
    assert client.hear(frames.settings({4: 5})) == [(frames.SETTINGS, 1, 0, b"")]


def test_rfc7541_4_2_a_server_that_wants_no_table_hears_once_that_there_is_none(client):
    client.hear(frames.settings({1: 0}))
    for expected in (b"\x20\x83", b"\x83"):
        client.open(end=True)
        assert b"".join(said for *_, said in client.said()) == expected


def test_6_8_our_goaway_names_no_stream_of_our_own(client):
    client.connection.fail(ErrorCode.PROTOCOL_ERROR)
    assert client.said() == [(frames.GOAWAY, 0, 0, bytes(4) + (1).to_bytes(4))]


def test_10_5_resets_that_cross_ours_cost_no_other_stream():
    """How many calls are cancelled is up to clients that know nothing of each other."""
    client = Client(limits_with(useless_weight=10))
    crossing = []
    for _ in range(20):
        stream = client.open(end=True)
        client.connection.reset(stream, ErrorCode.CANCEL)
        crossing.append(frame(frames.RST_STREAM, 0, stream.id, bytes(4)))
    client.hear(*crossing, answer(1, end=True))
    assert client.handler.events[-1] == ("finished", 1)


@pytest.mark.parametrize("last", [0, 1, 2, 3, MAX_STREAM_ID])
def test_6_8_a_goaway_says_which_streams_were_looked_at(client, last):
    client.hear(frame(7, 0, 0, last.to_bytes(4) + bytes(4) + b"reason"))
    assert ("goaway_received", last) in client.handler.events
    # The accepted ones go on.
    client.hear(answer(1, end=True))
    assert 1 not in client.connection.streams


def test_6_9_1_more_data_than_the_connection_allows_is_a_connection_error():
    client = Client(limits_with(stream_window_bytes=2**20, connection_window_bytes=65_535))
    client.hear(answer(1), *[frame(0, 0, 1, bytes(16_384))] * 3)
    with pytest.raises(Http2ConnectionError) as caught:
        client.hear(frame(0, 0, 1, bytes(16_384)))
    assert caught.value.code == ErrorCode.FLOW_CONTROL_ERROR


def test_6_9_data_that_nobody_wants_is_given_back_to_the_connection(client):
    client.connection.reset(client.streams[0], ErrorCode.CANCEL)
    updates = [
        payload
        for _ in range(20)
        for kind, _, stream_id, payload in client.hear(frame(0, 0, 1, bytes(10_000)))
        if kind == frames.WINDOW_UPDATE and stream_id == 0
    ]
    assert sum(map(int.from_bytes, updates)) == 200_000


def test_8_1_a_server_may_stop_the_request_after_its_answer(client):
    client.hear(answer(3, end=True), frame(3, 0, 3, bytes(4)))
    assert 3 not in client.connection.streams
    assert ("stream_reset", 3, 0, True) in client.handler.events


def test_5_1_1_the_last_number_uses_the_connection_up(client):
    client.connection._next_id = MAX_STREAM_ID
    assert not client.connection.is_used_up
    assert client.open(end=True).id == MAX_STREAM_ID
    assert client.connection.is_used_up


def test_5_1_a_stream_that_has_ended_well_is_not_reset(client):
    """A server counts resets, and may take many of them for an attack."""

    class LastWord(RecordingHandler):
        def headers(self, stream, fields, end):
            super().headers(stream, fields, end=end)
            if end:
                self.connection.reset(stream, ErrorCode.CANCEL)

    handler = LastWord()
    handler.connection = Connection(handler, LIMITS, client_side=True, wake=lambda: None)
    client.connection = handler.connection
    client.connection.receive(frames.settings({}))
    ended, unended = client.open(end=True), client.open(end=False)
    client.said()
    assert client.hear(answer(ended.id, end=True)) == []
    assert client.hear(answer(unended.id, end=True)) == [
        (frames.RST_STREAM, 0, unended.id, int(ErrorCode.CANCEL).to_bytes(4))
    ]
    assert handler.connection.streams == {}
