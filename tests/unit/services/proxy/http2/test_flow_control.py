"""RFC 9113, section 5.2 and 6.9, from the sender's side; and data cut in every way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.frame_sequences import frame
from tests.support.http2_handler import RecordingHandler, parsed
from tests.support.policies import limits_with
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.buffers import Account, Buffers
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.stream import Stream

WIDE = frames.settings({4: 2**20}) + frames.window_update(0, 2**24)


class Client:
    """A client's connection whose peer has said `settings`."""

    def __init__(self, settings):
        self.handler = RecordingHandler()
        self.connection = Connection(
            self.handler, limits_with(), client_side=True, wake=lambda: None
        )
        self.connection.send_preface()
        self.connection.receive(settings)
        self.connection.sender.take()

    def open(self):
        stream = Stream(None)
        self.connection.open(stream, b"\x83")
        return stream

    def sent(self):
        """Payload sizes and end flags of the DATA frames since the last look."""
        return [
            (stream_id, len(payload), flags & 1)
            for kind, flags, stream_id, payload in parsed(self.connection.sender.take())
            if kind == frames.DATA
        ]


def test_a_stream_s_window_holds_its_data_back_and_an_update_lets_it_go():
    client = Client(frames.settings({4: 10}))
    stream = client.open()
    client.connection.sender.data(stream, bytes(25), end=True)
    assert client.sent() == [(1, 10, 0)]
    client.connection.receive(frames.window_update(1, 14))
    assert client.sent() == [(1, 14, 0)]
    client.connection.receive(frames.window_update(1, 5))
    assert client.sent() == [(1, 1, 1)]
    assert stream.sent_end


def test_the_connection_s_window_is_shared_in_turns():
    client = Client(frames.settings({4: 2**20}))
    first, second = client.open(), client.open()
    client.connection.sender.data(first, bytes(200_000), end=True)
    client.connection.sender.data(second, bytes(100_000), end=True)
    assert sum(size for _, size, _ in client.sent()) == 65_535
    client.connection.receive(frames.window_update(0, 128 * 1024))
    shares = client.sent()
    for stream_id in (first.id, second.id):
        assert sum(size for number, size, _ in shares if number == stream_id) == 64 * 1024


def test_6_9_2_a_window_may_become_negative_and_recovers():
    client = Client(frames.settings({4: 100}))
    stream = client.open()
    client.connection.sender.data(stream, bytes(300), end=True)
    client.connection.receive(frames.settings({4: 10}))
    assert stream.send_window == -90
    client.connection.receive(frames.window_update(1, 90))
    assert client.sent() == [(1, 100, 0)]
    client.connection.receive(frames.settings({4: 210}))
    assert client.sent() == [(1, 200, 1)]


def test_6_5_2_a_server_may_not_enable_push():
    client = Client(b"")
    with pytest.raises(Http2ConnectionError) as caught:
        client.connection.receive(frames.settings({2: 1}))
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR
    Client(frames.settings({2: 0}))


def test_5_1_answers_to_any_number_of_streams_that_we_reset_are_ignored():
    client = Client(WIDE)
    streams = [client.open() for _ in range(3000)]
    for stream in streams:
        client.connection.reset(stream, ErrorCode.CANCEL)
    client.connection.sender.take()
    for stream in streams:
        client.connection.receive(
            frames.headers(stream.id, b"\x88", False, 16_384)
            + frame(frames.DATA, 0, stream.id, b"x")
        )
    assert client.connection.sender.take() == b""
    assert client.connection.useless_weight == 0


def test_what_waits_is_charged_until_it_is_sent_or_dropped():
    account = Account(Buffers(1000))
    client = Client(frames.settings({4: 10}))
    first, second = Stream(None, account), Stream(None, account)
    for stream in (first, second):
        client.connection.open(stream, b"\x83")
        client.connection.sender.data(stream, bytes(110), end=False)
        client.connection.sender.finish(stream, b"\x88" * 7)
    assert account.held == 2 * (100 + 7)
    client.connection.receive(frames.window_update(first.id, 40))
    assert account.held == 2 * (100 + 7) - 40
    client.connection.receive(frames.window_update(first.id, 60))
    assert account.held == 100 + 7
    assert second.drop() == 100
    assert account.held == 0


def test_every_addition_beyond_the_limit_is_told():
    buffers, told = Buffers(100), []
    buffers.overflowed = lambda: told.append(buffers.held)
    one, other = Account(buffers), Account(buffers)
    one.add(60)
    other.add(40)
    assert told == []
    other.add(1)
    one.add(1)
    assert told == [101, 102]
    one.remove(61)
    assert (one.held, other.held, buffers.held) == (0, 41, 41)


def test_what_ends_a_stream_without_data_needs_no_window():
    client = Client(frames.settings({4: 0}))
    first, second = client.open(), client.open()
    client.connection.sender.data(first, b"", end=True)
    client.connection.sender.finish(second, b"\x88")
    assert [
        (kind, flags, stream_id)
        for kind, flags, stream_id, _ in parsed(client.connection.sender.take())
        if kind != frames.SETTINGS
    ][-2:] == [(frames.DATA, 1, 1), (frames.HEADERS, 5, 3)]


def test_trailers_wait_for_the_data_before_them():
    client = Client(frames.settings({4: 5}))
    stream = client.open()
    client.connection.sender.data(stream, bytes(9), end=False)
    client.connection.sender.finish(stream, b"\x88")
    kinds = [kind for kind, *_ in parsed(client.connection.sender.take())]
    assert kinds[-1] == frames.DATA
    client.connection.receive(frames.window_update(1, 4))
    assert [item[0] for item in parsed(client.connection.sender.take())] == [
        frames.DATA,
        frames.HEADERS,
    ]


def test_a_full_socket_holds_data_back_and_other_frames_not():
    client = Client(WIDE)
    stream = client.open()
    client.connection.sender.take()
    client.connection.sender.pause()
    client.connection.sender.data(stream, bytes(10), end=False)
    client.connection.receive(frames.ping(bytes(8), ack=False))
    assert [kind for kind, *_ in parsed(client.connection.sender.take())] == [frames.PING]
    client.connection.sender.resume()
    assert client.sent() == [(1, 10, 0)]


@given(
    st.lists(st.binary(max_size=3000), max_size=20),
    st.lists(st.integers(1, 5000), max_size=20),
    st.integers(0, 3000),
)
def test_whatever_the_windows_the_bytes_arrive_in_order_and_within_them(payloads, updates, window):
    client = Client(frames.settings({4: window}) + frames.window_update(0, 2**24))
    stream = client.open()
    got, allowed = bytearray(), window

    def take():
        for kind, _, _, payload in parsed(client.connection.sender.take()):
            if kind == frames.DATA:
                got.extend(payload)
        assert len(got) <= allowed

    for payload in payloads:
        client.connection.sender.data(stream, payload, end=False)
        take()
    client.connection.sender.finish(stream)
    for update in updates:
        if stream.closed or stream.sent_end:
            break
        allowed += update
        client.connection.receive(frames.window_update(1, update))
        take()
    if not stream.sent_end:
        allowed += 2**20
        client.connection.receive(frames.window_update(1, 2**20))
        take()
    assert bytes(got) == b"".join(payloads)
    assert stream.sent_end
    assert sum(item[2] for item in client.handler.events if item[0] == "sent") == len(got)


@given(st.lists(st.integers(1, 60), max_size=60))
def test_a_server_s_answer_cut_anywhere_means_the_same(cuts):
    said = (
        frames.settings({})
        + frames.headers(1, b"\x88", False, 16_384)
        + frame(frames.DATA, 8, 1, b"\x03payload\0\0\0")
        + frames.ping(b"12345678", ack=False)
        + frame(frames.DATA, 0, 1, b"more")
        + frames.headers(1, b"\x89", True, 16_384)
    )
    whole, cut = Client(b""), Client(b"")
    for client in (whole, cut):
        client.open()
    whole.connection.receive(said)
    at = 0
    for size in cuts:
        cut.connection.receive(said[at : at + size])
        at += size
    cut.connection.receive(said[at:])
    assert cut.handler.events == whole.handler.events
    assert whole.handler.data_of(1) == b"payloadmore"
    assert cut.connection.sender.take() == whole.connection.sender.take()
