import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.frame_sequences import frame
from vecguard.grpc.frames import FRAMES_AT_A_TIME, MAX_WEIGHT, FrameMeter
from vecguard.proxy.http2 import frames

PING = frame(frames.PING, 0, 0, b"12345678")


def pieces(meter, data):
    start, found = 0, []
    while start < len(data):
        end = meter.cut(data, start)
        assert end > start
        found.append(data[start:end])
        start = end
    return found


def test_so_many_frames_are_handled_at_a_time():
    first, *rest = pieces(FrameMeter(lambda: 0.0), frames.PREFACE + PING * 100)
    assert first == frames.PREFACE + PING * FRAMES_AT_A_TIME
    assert rest == [PING * FRAMES_AT_A_TIME] * 2 + [PING * 4]


def test_calls_stand_for_more():
    meter = FrameMeter(lambda: 0.0)
    call = frame(frames.HEADERS, frames.END_HEADERS, 1, b"x" * 5000)
    _, *rest = pieces(meter, frames.PREFACE + call * 20)
    assert all(len(piece) <= 4 * len(call) for piece in rest)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3000)), max_size=60),
    st.lists(st.integers(1, 4000), min_size=1),
)
def test_pieces_are_cut_where_frames_end_however_they_come(sequence, sizes):
    whole = [frame(kind, 0, 1, b"x" * length) for kind, length in sequence]
    data = frames.PREFACE + b"".join(whole)
    ends = {len(frames.PREFACE) + sum(map(len, whole[:count])) for count in range(len(whole) + 1)}
    meter, at, number = FrameMeter(lambda: 0.0), 0, 0
    while at < len(data):
        read = data[at : at + sizes[number % len(sizes)]]
        number += 1
        for piece in pieces(meter, read):
            at += len(piece)
            assert at in ends or piece == read[-len(piece) :]
    assert at == len(data)


@pytest.mark.parametrize(
    ("sent", "most"),
    [
        (PING, MAX_WEIGHT // 10),
        (frame(frames.SETTINGS, 0, 0), MAX_WEIGHT // 10),
        (frame(frames.DATA, 0, 1), MAX_WEIGHT // 10),
        (frame(0xFA, 0, 0, b"x"), MAX_WEIGHT // 10),
        (frame(frames.DATA, 0, 1, b"x"), MAX_WEIGHT),
        (frame(frames.DATA, frames.END_STREAM, 1), MAX_WEIGHT),
        (frame(frames.RST_STREAM, 0, 1, bytes(4)), MAX_WEIGHT),
    ],
)
def test_frames_that_move_nothing_are_a_flood(sent, most):
    meter = FrameMeter(lambda: 0.0)
    pieces(meter, frames.PREFACE + sent * most)
    assert not meter.is_flooded()
    pieces(meter, sent)
    assert meter.is_flooded()


@pytest.mark.parametrize(
    "sent",
    [
        frame(frames.HEADERS, frames.END_HEADERS, 1, b"x" * 20),
        frame(frames.DATA, 0, 1, bytes(1000)),
        frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
    ],
)
def test_what_moves_something_is_none(sent):
    meter = FrameMeter(lambda: 0.0)
    pieces(meter, frames.PREFACE + sent * 2 * MAX_WEIGHT)
    assert not meter.is_flooded()


def test_the_past_is_forgiven():
    now = 0.0
    meter = FrameMeter(lambda: now)
    for _ in range(10):
        pieces(meter, PING * (MAX_WEIGHT // 10))
        now += 1.0
        assert not meter.is_flooded()
