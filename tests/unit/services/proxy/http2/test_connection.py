"""How a connection says goodbye, what it does when it is over, and what it counts."""

import pytest
from hpack import Encoder

from tests.support.frame_sequences import frame
from tests.support.header_blocks import headers
from tests.support.http2_handler import RecordingHandler, parsed
from tests.support.policies import limits_with
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.hpack import fields
from vecguard.proxy.http2.limits import Limit, LimitHits
from vecguard.proxy.http2.stream import Stream

REQUEST = Encoder().encode([(":method", "POST"), (":scheme", "http"), (":path", "/s/m")])
OPENED = frame(frames.HEADERS, 0x4, 1, REQUEST)


class Peer:
    """Our side of a connection; the test says what the peer does."""

    def __init__(self, *, client_side=False, greeted=True, **limits):
        self.handler = RecordingHandler()
        self.hits = LimitHits()
        self.wakes = 0
        self.connection = Connection(
            self.handler,
            limits_with(**limits),
            client_side=client_side,
            wake=self._wake,
            hits=self.hits,
        )
        if greeted:
            self.connection.send_preface()
            self.says((b"" if client_side else frames.PREFACE) + frames.settings({}))
            self.hears()

    def _wake(self):
        self.wakes += 1

    def says(self, data):
        self.connection.receive(data)

    def hears(self):
        return parsed(self.connection.sender.take())


def kinds(heard):
    return [kind for kind, *_ in heard]


def test_6_8_the_last_stream_is_named_once():
    peer = Peer()
    peer.says(OPENED)
    peer.connection.refuse_new()
    peer.connection.refuse_new()
    goodbyes = [payload for kind, _, _, payload in peer.hears() if kind == frames.GOAWAY]
    assert [int.from_bytes(payload[:4], "big") for payload in goodbyes] == [1]


def test_a_peer_that_has_not_spoken_yet_is_told_nothing():
    peer = Peer(greeted=False)
    peer.connection.refuse_all()
    assert peer.hears() == []


def test_a_peer_that_has_is_told_that_no_stream_was_looked_at():
    peer = Peer()
    peer.says(OPENED)
    peer.connection.refuse_all()
    [(kind, _, _, payload)] = peer.hears()
    assert (kind, payload[:4]) == (frames.GOAWAY, bytes(4))


@pytest.mark.skipif(is_compiled(), reason="methods of compiled classes cannot be replaced")
def test_a_bug_of_the_decoder_is_reported_and_ends_the_connection():
    peer = Peer()

    def broken(_block):
        raise LookupError

    peer.connection._decoder.decode = broken
    with pytest.raises(Http2ConnectionError) as caught:
        peer.says(OPENED)
    assert caught.value.code == ErrorCode.INTERNAL_ERROR
    assert ("failed", "LookupError") in peer.handler.events


def test_a_list_over_the_limit_is_counted_and_handed_on_as_none():
    peer = Peer(header_list_bytes=40)
    peer.says(OPENED)
    assert ("headers", 1, None, False) in peer.handler.events
    assert peer.hits.counts[Limit.HEADER_LIST] == 1
    assert peer.connection.useless_weight > 0


def test_an_acknowledgement_too_many_is_useless():
    peer = Peer()
    acknowledgement = frame(frames.SETTINGS, 0x1, 0, b"")
    peer.says(acknowledgement)
    assert peer.connection.useless_weight == 0
    peer.says(acknowledgement)
    assert peer.connection.useless_weight > 0


def test_6_9_what_was_taken_on_of_all_streams_opens_the_connection_s_window():
    peer = Peer(connection_window_bytes=65_535, stream_window_bytes=2**20)
    peer.says(OPENED + frame(frames.DATA, 0, 1, bytes(16_384)) * 3)
    peer.hears()
    peer.connection.consumed(peer.handler.streams[1], 30_000)
    assert peer.hears() == []
    peer.connection.consumed(peer.handler.streams[1], 10_000)
    [(kind, _, stream_id, payload)] = peer.hears()
    assert (kind, stream_id) == (frames.WINDOW_UPDATE, 0)
    assert int.from_bytes(payload, "big") == 40_000


@pytest.mark.parametrize("size", [16_384, 40_000])
def test_4_3_a_block_over_the_frame_size_goes_on_in_continuations(size):
    peer = Peer(client_side=True)
    block = fields.literal(b"k", b"v" * size)
    stream = Stream(None)
    stream.ending = b""
    peer.connection.open(stream, block)
    heard = peer.hears()
    assert kinds(heard) == [frames.HEADERS, *[frames.CONTINUATION] * (len(block) // 16_384)]
    assert [flags for _, flags, _, _ in heard] == [0x1, *[0] * (len(heard) - 2), 0x4]
    assert headers(b"".join(payload for *_, payload in heard)) == [(b"k", b"v" * size)]
    assert stream.sent_end


def test_a_block_over_the_frame_size_leaves_the_stream_open_until_its_end():
    peer = Peer(client_side=True)
    stream = Stream(None)
    peer.connection.open(stream, fields.literal(b"k", b"v" * 20_000))
    assert [flags for _, flags, _, _ in peer.hears()] == [0, 0x4]
    assert not stream.sent_end


def test_a_stream_that_was_closed_while_it_waited_sends_nothing():
    peer = Peer(client_side=True)
    stream = Stream(None)
    peer.connection.open(stream, REQUEST)
    peer.connection.sender.pause()
    peer.connection.sender.data(stream, b"late", end=False)
    peer.connection.reset(stream, ErrorCode.CANCEL)
    peer.hears()
    peer.connection.sender.waiting[stream] = None
    peer.connection.sender.resume()
    assert peer.hears() == []
    assert not peer.connection.sender.waiting


def test_answers_that_a_full_socket_does_not_take_are_counted_until_it_does():
    peer = Peer(unread_bytes=60)
    peer.says(OPENED)
    sender = peer.connection.sender
    sender.pause()
    for expected in (False, True):
        sender.headers(peer.handler.streams[1], bytes(40), end=False)
        assert sender.is_swamped is expected
    sender.resume()
    assert not sender.is_swamped


def test_a_connection_that_is_over_tells_nothing():
    peer = Peer()
    peer.says(OPENED)
    [stream] = peer.connection.abandon()
    peer.connection.release()
    events, wakes = list(peer.handler.events), peer.wakes
    peer.connection.sender.headers(stream, REQUEST, end=True)
    assert peer.handler.events == events
    assert peer.wakes == wakes
    assert not stream.sent_end
