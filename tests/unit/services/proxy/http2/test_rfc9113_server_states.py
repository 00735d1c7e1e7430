"""RFC 9113, section 5.1: every frame in every state of a stream, as a client sends it.

Beside `test_rfc9113_server.py`, which goes by section: this is the table of states.
"""

import pytest
from hpack import Encoder

from tests.support.frame_sequences import REQUEST, frame
from tests.support.http2_oracle import Ours, Verdict
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.errors import ErrorCode

HELLO = frames.PREFACE + frames.settings({})


def block(*more):
    return Encoder().encode([*REQUEST, *more], huffman=False)


def request(stream_id, *, end):
    return frame(frames.HEADERS, 4 | end, stream_id, block())


STATES = ("idle", "open", "half closed", "ended", "reset by peer", "reset by us")
FRAMES = {
    "DATA": frame(frames.DATA, 0, 1, b"x"),
    "HEADERS": request(1, end=True),
    "CONTINUATION": frame(frames.CONTINUATION, 4, 1, block()),
    "PRIORITY": frame(frames.PRIORITY, 0, 1, bytes(5)),
    "PRIORITY on itself": frame(frames.PRIORITY, 0, 1, (1).to_bytes(4) + b"\0"),
    "RST_STREAM": frame(frames.RST_STREAM, 0, 1, bytes(4)),
    "WINDOW_UPDATE": frames.window_update(1, 1),
    "unknown": frame(0xEE, 0, 1, b"x"),
}
NONE, STREAM, CONNECTION = "ignored or taken", "stream", "connection"
PROTOCOL_ERROR, STREAM_CLOSED = ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED

# What is not here is taken or ignored. PRIORITY and unknown frames always are; a
# dependency on itself is an error in RFC 7540 only.
EXPECTED = {
    ("idle", "DATA"): (CONNECTION, PROTOCOL_ERROR),
    ("idle", "RST_STREAM"): (CONNECTION, PROTOCOL_ERROR),
    ("idle", "WINDOW_UPDATE"): (CONNECTION, PROTOCOL_ERROR),
    ("half closed", "DATA"): (STREAM, STREAM_CLOSED),
    ("half closed", "HEADERS"): (STREAM, STREAM_CLOSED),
    ("ended", "DATA"): (STREAM, STREAM_CLOSED),
    ("ended", "HEADERS"): (CONNECTION, STREAM_CLOSED),
    ("reset by peer", "DATA"): (STREAM, STREAM_CLOSED),
    ("reset by peer", "HEADERS"): (CONNECTION, STREAM_CLOSED),
    **{(state, "CONTINUATION"): (CONNECTION, PROTOCOL_ERROR) for state in STATES},
}


def server_in(state):
    server = Ours(client_side=False)
    server.hear(HELLO)
    if state != "idle":
        server.hear(request(1, end=state in {"half closed", "ended"}))
    if state == "ended":
        server.answer(1, end=True)
    elif state == "reset by peer":
        server.hear(frame(frames.RST_STREAM, 0, 1, bytes(4)))
    elif state == "reset by us":
        server.reset(1, ErrorCode.CANCEL)
    return server


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("state", STATES)
def test_5_1_a_frame_in_a_state(state, kind):
    server = server_in(state)
    verdict = server.hear(FRAMES[kind])
    level, code = EXPECTED.get((state, kind), (NONE, None))
    if level == CONNECTION:
        assert verdict.fatal == code
    elif level == STREAM:
        assert (verdict.fatal, verdict.resets) == (None, [(1, code)])
    else:
        assert (verdict.fatal, verdict.resets) == (None, [])
    if level != CONNECTION:  # other streams go on
        verdict = server.hear(request(9, end=True))
        assert [event[:2] for event in verdict.events] == [("headers", 9)]


def test_3_4_the_preface_in_any_pieces():
    server = Ours(client_side=False)
    for byte in HELLO:
        assert server.hear(bytes([byte])).fatal is None
    assert server.hear(request(1, end=True)).fatal is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("HEADERS with padding and END_STREAM", frame(1, 0xD, 1, b"\x02" + block() + b"\0\0")),
        ("HEADERS with undefined flags", frame(1, 0x4 | 0xC2, 1, block())),
        ("a frame of 2^14 bytes", frame(1, 4, 1, block((b"k", bytes([97]) * 15_000)))),
        ("DATA of 0 bytes", request(1, end=False) + frame(0, 1, 1)),
    ],
)
def test_4_1_and_4_2_what_is_allowed_is_taken(name, data):
    server = Ours(client_side=False)
    server.hear(HELLO)
    verdict = server.hear(data)
    assert (verdict.fatal, verdict.resets) == (None, [])
    assert verdict.events[0][:2] == ("headers", 1)


@pytest.mark.parametrize("kind", [frames.DATA, frames.HEADERS, 0xEE])
def test_4_2_a_frame_over_the_limit_is_refused_by_its_head_alone(kind):
    server = Ours(client_side=False)
    server.hear(HELLO)
    assert server.hear(frame(kind, 0, 1, bytes(16_385))[:9]).fatal == ErrorCode.FRAME_SIZE_ERROR


def test_5_4_1_a_connection_error_names_the_newest_stream_that_was_taken():
    server = Ours(client_side=False)
    server.hear(HELLO + request(5, end=True))
    server.connection.fail(ErrorCode.PROTOCOL_ERROR)
    assert server.connection.sender.take()[9:] == (5).to_bytes(4) + (1).to_bytes(4)


@pytest.mark.parametrize("value", [0, 1])
def test_6_5_2_both_values_of_enable_push_are_taken(value):
    server = Ours(client_side=False)
    server.hear(HELLO)
    verdict = server.hear(frames.settings({2: value}))
    assert verdict == Verdict(events=[("settings_received",)], replies=[(frames.SETTINGS, b"")])


def test_6_5_2_the_last_of_several_values_counts():
    server = Ours(client_side=False)
    server.hear(frames.PREFACE + frame(4, 0, 0, b"\0\4\0\0\0\7\0\4\0\0\0\1"))
    server.hear(request(1, end=True))
    assert server.connection.streams[1].send_window == 1


@pytest.mark.parametrize("code", [0, 8, 0xD, 0xFEED])
def test_7_unknown_codes_are_like_any_other(code):
    server = Ours(client_side=False)
    server.hear(HELLO + request(1, end=False))
    verdict = server.hear(frame(frames.RST_STREAM, 0, 1, code.to_bytes(4)))
    assert verdict == Verdict(events=[("reset", 1, code)])
    assert server.hear(frame(frames.GOAWAY, 0, 0, bytes(4) + code.to_bytes(4))).fatal is None


def test_8_2_a_push_by_a_client_ends_the_connection():
    server = Ours(client_side=False)
    server.hear(HELLO + request(1, end=False))
    assert server.hear(frame(frames.PUSH_PROMISE, 4, 1, bytes(4))).fatal == PROTOCOL_ERROR
