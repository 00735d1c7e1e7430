"""RFC 9113 as a client can break it, by section: the right error, at the right level."""

import pytest
from hpack import Decoder, Encoder

from tests.support.frame_sequences import REQUEST, frame
from tests.support.http2_handler import RecordingHandler, parsed
from tests.support.policies import limits_with
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.limits import Limit

END_STREAM, END_HEADERS, PADDED, PRIORITIZED = 1, 4, 8, 32
HELLO = frames.PREFACE + frames.settings({})
LIMITS = limits_with(concurrent_streams=4, stream_window_bytes=1000, connection_window_bytes=70_000)


def block(*more):
    return Encoder().encode([*REQUEST, *more], huffman=False)


def request(stream_id, *, end=False):
    return frame(frames.HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id, block())


class Server:
    """A server's connection that has said its first words."""

    def __init__(self, limits=LIMITS):
        self.handler = RecordingHandler()
        self.connection = Connection(self.handler, limits, client_side=False, wake=lambda: None)
        self.connection.send_preface()
        self.said()

    def hear(self, *data):
        self.connection.receive(b"".join(data))
        return self.said()

    def hear_each(self, pieces):
        for piece in pieces:
            self.hear(piece)

    def said(self):
        return parsed(self.connection.sender.take())

    def resets(self, *data):
        """The (stream, code) of each RST_STREAM that answers the data."""
        return [
            (stream_id, int.from_bytes(payload))
            for kind, _, stream_id, payload in self.hear(*data)
            if kind == frames.RST_STREAM
        ]


@pytest.fixture
def server():
    greeted = Server()
    greeted.hear(HELLO)
    return greeted


def answer(server, stream_id, *, end):
    stream = server.connection.streams[stream_id]
    server.connection.sender.headers(stream, b"\x88", end=end)


RESET_5 = frame(frames.RST_STREAM, 0, 5, bytes(4))
CONNECTION_ERRORS = [
    # section, frames, code
    ("4.2 a frame over the size we allow", frame(0, 0, 1, bytes(16_385)), 6),
    ("4.3 a header block that is no HPACK", frame(1, 5, 1, b"\x80"), 9),
    ("5.1 DATA on an idle stream", frame(0, 0, 1, b"x"), 1),
    ("5.1 RST_STREAM on an idle stream", frame(3, 0, 1, bytes(4)), 1),
    ("5.1 WINDOW_UPDATE on an idle stream", frame(8, 0, 1, b"\0\0\0\1"), 1),
    ("5.1 HEADERS on a stream that both have ended", b"closed" + request(1), 5),
    ("5.1.1 a stream of an even number", request(2), 1),
    ("5.1.1 a number below the first one", request(5) + request(3), 1),
    ("5.1.1 a number that was skipped", request(1) + request(5) + request(3), 1),
    ("5.1.1 a number that was skipped long before", request(5) + request(7) + request(1), 1),
    ("5.1 a number that was used after one was skipped", request(5) + RESET_5 + request(5), 5),
    ("5.1.1 DATA on an even number", frame(0, 0, 2, b"x"), 1),
    ("6.1 DATA on stream 0", frame(0, 0, 0, b"x"), 1),
    ("6.1 padding as long as the payload", request(1) + frame(0, PADDED, 1, b"\x05xxxx"), 1),
    ("6.1 padding without a length", request(1) + frame(0, PADDED, 1), 6),
    ("6.2 HEADERS on stream 0", request(0), 1),
    ("6.2 padding as long as the payload", frame(1, PADDED | 5, 1, b"\x05xxxx"), 1),
    ("6.2 a priority that is cut", frame(1, PRIORITIZED | 5, 1, b"xx"), 6),
    ("6.3 PRIORITY on stream 0", frame(2, 0, 0, bytes(5)), 1),
    ("6.3 PRIORITY of another size on an idle stream", frame(2, 0, 1, bytes(4)), 6),
    ("6.4 RST_STREAM on stream 0", frame(3, 0, 0, bytes(4)), 1),
    ("6.4 RST_STREAM of another size", request(1) + frame(3, 0, 1, bytes(5)), 6),
    ("6.5 SETTINGS on a stream", frame(4, 0, 1), 1),
    ("6.5 an acknowledgement that says something", frame(4, 1, 0, bytes(6)), 6),
    ("6.5 SETTINGS of a broken size", frame(4, 0, 0, bytes(5)), 6),
    ("6.5.2 ENABLE_PUSH of 2", frames.settings({2: 2}), 1),
    ("6.5.2 a window over 2^31-1", frames.settings({4: 2**31}), 3),
    ("6.5.2 frames smaller than 2^14", frames.settings({5: 16_383}), 1),
    ("6.5.2 frames larger than 2^24-1", frames.settings({5: 2**24}), 1),
    ("6.6 PUSH_PROMISE of a client", request(1) + frame(5, 4, 1, bytes(4)), 1),
    ("6.7 PING on a stream", frame(6, 0, 1, bytes(8)), 1),
    ("6.7 PING of another size", frame(6, 0, 0, bytes(7)), 6),
    ("6.8 GOAWAY on a stream", frame(7, 0, 1, bytes(8)), 1),
    ("6.8 GOAWAY that is cut", frame(7, 0, 0, bytes(7)), 6),
    ("6.9 WINDOW_UPDATE by 0", frame(8, 0, 0, bytes(4)), 1),
    ("6.9 WINDOW_UPDATE by 0 on an idle stream", frame(8, 0, 1, bytes(4)), 1),
    ("6.9 WINDOW_UPDATE of another size", frame(8, 0, 0, bytes(3)), 6),
    ("6.9.1 the connection's window over 2^31-1", frames.window_update(0, 2**31 - 1), 3),
    (
        "6.9.2 settings that move a stream's window over 2^31-1",
        request(1) + frames.window_update(1, 2**31 - 65_536) + frames.settings({4: 70_000}),
        3,
    ),
    ("6.10 CONTINUATION of nothing", frame(9, 4, 1, b""), 1),
    ("6.10 CONTINUATION after the end", request(1) + frame(9, 4, 1, b""), 1),
    ("6.10 CONTINUATION of another stream", frame(1, 0, 1, b"") + frame(9, 4, 3, b""), 1),
    ("6.2 another frame within a header block", frame(1, 0, 1, b"") + frame(6, 0, 0, bytes(8)), 1),
    ("6.2 DATA within a header block", frame(1, 0, 1, b"") + frame(0, 0, 1, b"x"), 1),
    ("5.5 an unknown frame within a header block", frame(1, 0, 1, b"") + frame(0xEE, 0, 0), 1),
    ("10.5.1 CONTINUATIONs without end", frame(1, 0, 1) + frame(9, 0, 1) * 100, 11),
    ("10.5.1 a block without end", frame(1, 0, 1) + frame(9, 0, 1, bytes(16_000)) * 9, 11),
    ("10.5 a flood of PINGs", frame(6, 0, 0, bytes(8)) * 10_001, 11),
    ("10.5 a flood of SETTINGS", frame(4, 0, 0) * 1001, 11),
    ("10.5 a flood of PRIORITY", frame(2, 0, 1, bytes(5)) * 10_001, 11),
    ("10.5 a flood of unknown frames", frame(0xEE, 0, 0) * 10_001, 11),
    ("10.5 a flood of DATA without data", request(1) + frame(0, 0, 1) * 10_001, 11),
]


@pytest.mark.parametrize(("section", "said", "code"), CONNECTION_ERRORS)
def test_connection_error(server, section, said, code):
    if said.startswith(b"closed"):
        server.hear(request(1, end=True))
        answer(server, 1, end=True)
        said = said.removeprefix(b"closed")
    with pytest.raises(Http2ConnectionError) as caught:
        server.hear(said)
    assert caught.value.code == code


@pytest.mark.parametrize(("section", "said", "code"), CONNECTION_ERRORS)
def test_connection_error_byte_by_byte(server, section, said, code):
    if len(said) > 5000:
        pytest.skip("long, and the same frames in one piece are tried above")
    if said.startswith(b"closed"):
        server.hear(request(1, end=True))
        answer(server, 1, end=True)
        said = said.removeprefix(b"closed")
    with pytest.raises(Http2ConnectionError) as caught:
        server.hear_each(bytes([byte]) for byte in said)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "said",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        b"GET / HTTP/1.1\r\n\r\n",
        frames.PREFACE + frame(6, 0, 0, bytes(8)),
        frames.PREFACE + frames.SETTINGS_ACK,
        frames.PREFACE + frame(0xEE, 0, 0),
    ],
)
def test_3_4_a_preface_that_is_none(said):
    with pytest.raises(Http2ConnectionError) as caught:
        Server().hear(said)
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("section", "said", "expected"),
    [
        ("5.1 DATA after the end", request(1, end=True) + frame(0, 0, 1, b"x"), (1, 5)),
        ("5.1 HEADERS after the end", request(1, end=True) + request(1, end=True), (1, 5)),
        ("5.1.2 more streams than allowed", b"".join(map(request, (1, 3, 5, 7, 9))), (9, 7)),
        ("6.3 PRIORITY of another size", request(1) + frame(2, 0, 1, bytes(4)), (1, 6)),
        ("6.9 WINDOW_UPDATE by 0", request(1) + frame(8, 0, 1, bytes(4)), (1, 1)),
        ("6.9.1 a window over 2^31-1", request(1) + frames.window_update(1, 2**31 - 1), (1, 3)),
        ("6.9.1 more than the stream's window", request(1) + frame(0, 0, 1, bytes(1001)), (1, 3)),
        ("8.1 trailers that do not end", request(1) + request(1), (1, 1)),
    ],
)
def test_stream_error(server, section, said, expected):
    assert server.resets(said) == [expected]
    assert expected[0] not in server.connection.streams
    # And the connection goes on.
    assert server.hear(frame(6, 0, 0, b"12345678")) == [(frames.PING, 1, 0, b"12345678")]


def test_5_1_data_on_a_stream_that_both_have_ended_is_a_stream_error(server):
    server.hear(request(1, end=True))
    answer(server, 1, end=True)
    assert server.resets(frame(0, 0, 1, b"x")) == [(1, ErrorCode.STREAM_CLOSED)]


@pytest.mark.parametrize(
    "late", [frame(0, 0, 1, b"x"), request(1, end=True), frame(3, 0, 1, bytes(4)),
             frames.window_update(1, 1)]
)  # fmt: skip
def test_5_1_what_was_under_way_to_a_stream_that_we_reset_is_ignored(server, late):
    server.hear(request(1))
    server.connection.reset(server.connection.streams[1], ErrorCode.CANCEL)
    server.said()
    assert server.hear(late) == []


@pytest.mark.parametrize("late", [frame(3, 0, 1, bytes(4)), frames.window_update(1, 1)])
def test_5_1_rst_stream_and_window_update_may_come_after_the_end(server, late):
    server.hear(request(1, end=True))
    answer(server, 1, end=True)
    server.said()
    assert server.hear(late) == []


@pytest.mark.parametrize(
    "harmless",
    [
        frame(2, 0, 9, bytes(5)),  # 5.3.2 PRIORITY in any state
        frame(0xEE, 0xFF, 0, b"x"),  # 5.5
        frame(0xEE, 0xFF, 7, b"x"),
        frames.settings({0xBEEF: 7}),  # 6.5.2 unknown settings
        frame(6, 1, 0, bytes(8)),  # an acknowledgement of nothing
        frames.SETTINGS_ACK,
        frame(7, 0, 0, bytes(8) + b"debug data"),
    ],
)
def test_what_must_be_ignored_is_ignored(server, harmless):
    said = server.hear(harmless)
    assert [kind for kind, *_ in said] in ([], [frames.SETTINGS])
    server.hear(request(1))
    assert 1 in server.connection.streams


def test_4_1_the_reserved_bit_is_ignored(server):
    server.hear(frame(frames.HEADERS, END_HEADERS, 1 | 1 << 31, block()))
    assert 1 in server.connection.streams


def test_5_1_1_numbers_may_be_skipped(server):
    server.hear(request(101))
    assert list(server.connection.streams) == [101]


def test_5_1_2_an_ended_stream_makes_room(server):
    for stream_id in (1, 3, 5, 7):
        server.hear(request(stream_id))
    server.hear(frame(3, 0, 3, bytes(4)))
    server.hear(request(9))
    assert list(server.connection.streams) == [1, 5, 7, 9]


def test_6_1_padding_counts_for_flow_control_and_is_no_data(server):
    server.hear(request(1), frame(0, PADDED, 1, b"\x03abc\0\0\0"))
    assert server.handler.data_of(1) == b"abc"
    assert server.connection.streams[1].receive_window == 1000 - 7


@pytest.mark.parametrize("pieces", [1, 2, 5, 30])
def test_6_10_a_header_block_may_come_in_pieces(server, pieces):
    whole = block((b"k", b"v" * 100))
    size = -(-len(whole) // pieces)
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    said = frame(frames.HEADERS, END_STREAM | (END_HEADERS if len(parts) == 1 else 0), 1, parts[0])
    for number, part in enumerate(parts[1:], start=2):
        said += frame(frames.CONTINUATION, END_HEADERS if number == len(parts) else 0, 1, part)
    server.hear(said)
    assert (b"k", b"v" * 100) in server.handler.headers_of(1)
    assert server.connection.streams[1].received_end


def test_6_2_padding_and_priority_of_headers_are_passed_over(server):
    payload = b"\x04" + bytes(5) + block() + bytes(4)
    server.hear(frame(frames.HEADERS, END_HEADERS | PADDED | PRIORITIZED, 1, payload))
    assert server.handler.headers_of(1) == list(REQUEST)


def test_6_5_3_settings_are_acknowledged(server):
    assert server.hear(frames.settings({4: 5})) == [(frames.SETTINGS, 1, 0, b"")]


@pytest.mark.parametrize("wanted", [{1: 0}, {1: 1024}])
def test_rfc7541_4_2_a_peer_that_wants_a_smaller_table_hears_once_that_ours_is(server, wanted):
    server.hear(request(1), request(3))
    theirs = Decoder()
    theirs.max_allowed_table_size = wanted[1]
    for stream_id in (1, 3):
        server.hear(frames.settings(wanted))
        answer(server, stream_id, end=True)
        [(_, _, _, said), *_] = server.said()
        assert theirs.decode(said) == [(":status", "200")]
        assert said.startswith(b"\x20") == (stream_id == 1)


def test_6_5_3_values_in_one_frame_count_in_order_and_move_windows_by_the_difference(server):
    server.hear(request(1), frames.window_update(1, 5))
    before = server.connection.streams[1].send_window
    server.hear(frame(4, 0, 0, b"\0\4\0\0\0\1" + b"\0\4\0\1\0\0"))
    assert server.connection.streams[1].send_window == before + 65_536 - 65_535
    server.hear(frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff" + b"\0\4\0\0\0\0"))
    assert server.connection.streams[1].send_window == 5


def test_6_8_after_the_last_goaway_new_streams_are_ignored_and_old_ones_go_on(server):
    server.hear(request(1))
    server.connection.go_away()
    server.connection.refuse_new()
    last = [payload[:4] for kind, _, _, payload in server.said() if kind == frames.GOAWAY]
    assert [int.from_bytes(number) for number in last] == [2**31 - 1, 1]
    assert server.hear(request(3), frame(0, 1, 3, b"x")) == []
    assert list(server.connection.streams) == [1]
    server.hear(frame(0, 1, 1, b"x"))
    assert server.handler.data_of(1) == b"x"


def test_6_8_the_last_number_of_a_goaway_never_grows(server):
    server.hear(request(1))
    server.connection.refuse_new()
    said = server.hear(request(3))
    server.connection.fail(ErrorCode.PROTOCOL_ERROR)
    said += server.said()
    last = [payload[:4] for kind, _, _, payload in said if kind == frames.GOAWAY]
    assert [int.from_bytes(number) for number in last] == [1, 1]


def test_6_7_only_the_acknowledgement_of_our_ping_tells_that_a_goaway_was_heard(server):
    server.connection.go_away()
    [ours] = [payload for kind, _, _, payload in server.said() if kind == frames.PING]
    server.hear(frame(6, 1, 0, b"anything"))
    assert "ping_acknowledged" not in [item[0] for item in server.handler.events]
    server.hear(frame(6, 1, 0, ours), frame(6, 1, 0, ours))
    assert [item[0] for item in server.handler.events].count("ping_acknowledged") == 1


class Faulty(RecordingHandler):
    def data(self, stream, payload, end):
        raise KeyError("a bug")

    def goaway_received(self, last_stream_id):
        raise KeyError("a bug")


def test_5_4_2_a_bug_met_on_a_stream_ends_that_stream(server):
    server.connection._handler = server.handler = Faulty()
    server.hear(request(1), request(3))
    assert server.resets(frame(0, 0, 1, b"x")) == [(1, ErrorCode.INTERNAL_ERROR)]
    assert list(server.connection.streams) == [3]
    assert [item[1] for item in server.handler.events if item[0] == "failed"] == ["KeyError"]


def test_5_4_1_a_bug_met_anywhere_else_ends_the_connection(server):
    server.connection._handler = server.handler = Faulty()
    with pytest.raises(Http2ConnectionError) as caught:
        server.hear(frame(frames.GOAWAY, 0, 0, bytes(8)))
    assert caught.value.code == ErrorCode.INTERNAL_ERROR


def test_6_9_1_more_data_than_the_connection_allows_is_a_connection_error():
    server = Server(limits_with(stream_window_bytes=2**20, connection_window_bytes=65_535))
    server.hear(HELLO, request(1), *[frame(0, 0, 1, bytes(16_384))] * 3)
    with pytest.raises(Http2ConnectionError) as caught:
        server.hear(frame(0, 0, 1, bytes(16_384)))
    assert caught.value.code == ErrorCode.FLOW_CONTROL_ERROR


def test_6_9_data_that_nobody_wants_is_given_back_to_the_connection(server):
    server.hear(request(1))
    server.connection.reset(server.connection.streams[1], ErrorCode.CANCEL)
    updates = [
        payload
        for _ in range(20)
        for kind, _, stream_id, payload in server.hear(frame(0, 0, 1, bytes(10_000)))
        if kind == frames.WINDOW_UPDATE and stream_id == 0
    ]
    assert sum(map(int.from_bytes, updates)) == 200_000


def test_8_1_a_complete_answer_stops_the_request(server):
    server.hear(request(1))
    answer(server, 1, end=True)
    assert [item[:3] for item in server.said()] == [
        (frames.HEADERS, END_STREAM | END_HEADERS, 1),
        (frames.RST_STREAM, 0, 1),
    ]
    assert not server.connection.streams


@pytest.mark.parametrize(("streams", "is_flood"), [(0, False), (1000, True)])
def test_10_5_settings_count_by_the_windows_that_they_move(streams, is_flood):
    server = Server(limits_with())
    server.hear(HELLO, *(request(2 * number + 1) for number in range(streams)))
    moves = (frames.settings({4: 1000}) + frames.settings({4: 2000})) * 50
    if not is_flood:
        server.hear(moves)
        return
    with pytest.raises(Http2ConnectionError) as caught:
        server.hear(moves)
    assert caught.value.limit == Limit.USELESS_FRAMES


def test_10_5_rapid_resets_are_a_flood():
    server = Server(limits_with())
    server.hear(HELLO)
    with pytest.raises(Http2ConnectionError) as caught:
        server.hear_each(
            request(number) + frame(3, 0, number, bytes(4)) for number in range(1, 2200, 2)
        )
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


def test_10_5_useless_frames_are_forgiven_with_time_but_not_to_a_peer_that_does_not_read(server):
    for _ in range(3):
        server.hear(frame(6, 0, 0, bytes(8)) * 9000)
        server.connection.clear_useless()
    server.connection.sender.pause()
    server.hear(frame(6, 0, 0, bytes(8)) * 9000)
    server.connection.clear_useless()
    with pytest.raises(Http2ConnectionError):
        server.hear(frame(6, 0, 0, bytes(8)) * 9000)
