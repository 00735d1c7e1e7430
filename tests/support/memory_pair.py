"""Two ends of HTTP/2 joined in memory: each reads what the other writes, without a socket.

A side can be closed alone, as with TCP.
"""

import asyncio

from tests.support.http2_handler import RecordingHandler
from tests.support.policies import limits_with
from vecguard.proxy.http2.connection import Connection
from vecguard.proxy.http2.errors import ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.hpack.fields import indexed, literal
from vecguard.proxy.http2.stream import Stream

#: What may wait for a peer that does not read before the writer is paused, as in asyncio.
HIGH_WATER = 64 * 1024


class MemoryTransport(asyncio.Transport):
    """Writes in one direction and reads in the other.

    Attributes:
        is_closed: `connection_lost` was called, or is about to be.
        is_eof_written: this side has said its last.
    """

    def __init__(self, protocol, address=None):
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._address = address
        self._waiting = bytearray()
        self._is_due = self._is_paused = self._is_closing = self._is_aborted = False
        self._is_reading = True
        self._is_eof_read = False
        self.peer = None
        self.is_closed = self.is_eof_written = False

    def write(self, data):
        if self.is_eof_written:
            raise RuntimeError("nothing can be written after write_eof()")
        if self._is_closing or self.is_closed:
            return
        self._waiting += data
        self._be_due()
        if len(self._waiting) > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self):
        return len(self._waiting)

    def pause_reading(self):
        self._is_reading = False

    def resume_reading(self):
        self._is_reading = True
        self.peer._be_due()

    def close(self):
        self._is_closing = True
        self._be_due()

    def abort(self):
        # What a peer reads has reached it: a socket sends at once.
        self._is_aborted = True
        self.close()

    def can_write_eof(self):
        return True

    def write_eof(self):
        if not self._is_closing and not self.is_eof_written:
            self.is_eof_written = True
            self._be_due()

    def is_closing(self):
        return self._is_closing

    def set_protocol(self, protocol):
        self._protocol = protocol

    def get_extra_info(self, name, default=None):
        return self._address if name == "peername" else default

    def _be_due(self):
        if not self._is_due and not self.is_closed:
            self._is_due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self):
        self._is_due = False
        peer = self.peer
        if self._waiting and peer._is_reading and not peer.is_closed:
            data = bytes(self._waiting)
            self._waiting.clear()
            peer._protocol.data_received(data)
            if self._is_paused and not self._waiting:
                self._is_paused = False
                self._protocol.resume_writing()
        if self.is_eof_written and not self._waiting:
            peer._read_eof()
        if self._is_closing and (not self._waiting or peer.is_closed or self._is_aborted):
            self._lose()
            peer._lose()

    def _read_eof(self):
        if self._is_reading and not self._is_eof_read and not self._is_closing:
            self._is_eof_read = True
            if not self._protocol.eof_received():
                self.close()

    def _lose(self):
        if not self.is_closed:
            self.is_closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)


def join(one, other, *, address=None):
    """Connects two protocols; `address` is the first one's address as the second one sees it."""
    first, second = MemoryTransport(one), MemoryTransport(other, address)
    first.peer, second.peer = second, first
    one.connection_made(first)
    other.connection_made(second)


class End(RecordingHandler):
    """One side, which the test controls.

    Attributes:
        fault: the error by which our reader ended the connection.
        stays: keeps its side open when the other one has closed its own.
        received: the bytes that were received.
        has_read_all: the other side has closed its side.
        is_lost: the connection is closed.
    """

    def __init__(self, *, client_side, limits=None):
        super().__init__()
        self._client_side = client_side
        self._is_flush_due = False
        self.connection = Connection(
            self, limits or limits_with(), client_side=client_side, wake=self.wake
        )
        self.fault = None
        self.received = 0
        self.stays = self.has_read_all = self.is_lost = False

    # What asyncio calls.

    def connection_made(self, transport):
        self.transport = transport
        if self._client_side:
            self.connection.send_preface()
            self.flush()

    def data_received(self, data):
        self.received += len(data)
        try:
            self.connection.receive(data)
        except Http2ConnectionError as fault:
            self.fault = fault
            self.connection.fail(fault.code)
            self.flush()
            self.transport.close()

    def eof_received(self):
        self.has_read_all = True
        return self.stays

    def pause_writing(self):
        self.connection.sender.pause()

    def resume_writing(self):
        self.connection.sender.resume()

    def connection_lost(self, exc):
        self.is_lost = True
        self.connection.abandon()
        self.connection.release()

    def wake(self):
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self):
        self._is_flush_due = False
        data = self.connection.sender.take()
        if not self.transport.is_eof_written:
            self.transport.write(data)

    # What a test says.

    def request(self, path=b"/any.Service/Unary", data=b"", *headers, end=True):
        """Opens a stream (client side). Returns its number."""
        block = (
            indexed(b":method", b"POST")
            + indexed(b":scheme", b"http")
            + literal(b":path", path)
            + literal(b":authority", b"proxy:1")
            + literal(b"content-type", b"application/grpc")
            + literal(b"te", b"trailers")
            + b"".join(literal(name, value) for name, value in headers)
        )
        stream = Stream(None)
        stream.hold(data)
        if end:
            stream.ending = b""
        self.connection.open(stream, block)
        self.streams[stream.id] = stream
        return stream.id

    def answer(self, stream_id, data=b"", *, status=b"0"):
        """Sends a complete answer (server side)."""
        self.begin(stream_id)
        self.say(stream_id, data)
        self.finish(stream_id, (b"grpc-status", status))

    def begin(self, stream_id, *headers, http_status=b"200", end=False):
        """Sends the first header block of an answer."""
        block = literal(b":status", http_status)
        if http_status == b"200":
            block += literal(b"content-type", b"application/grpc")
        block += b"".join(literal(name, value) for name, value in headers)
        self.connection.sender.headers(self.streams[stream_id], block, end=end)

    def say(self, stream_id, data, *, end=False):
        """Sends data."""
        self.connection.sender.data(self.streams[stream_id], data, end=end)

    def finish(self, stream_id, *trailers):
        """Sends trailers."""
        block = b"".join(literal(name, value) for name, value in trailers)
        self.connection.sender.finish(self.streams[stream_id], block)

    def reset(self, stream_id, code=ErrorCode.CANCEL):
        self.connection.reset(self.streams[stream_id], code)

    def close_side(self):
        """Says no more, and reads on."""
        self.flush()
        self.transport.write_eof()

    def cut(self):
        """Breaks the connection."""
        self.transport.abort()

    # What a test looks at.

    def value(self, stream_id, name):
        """Returns the last value of a header; None without one."""
        return dict(self.headers_of(stream_id)).get(name)

    def status(self, stream_id):
        """Returns the gRPC status of a call; None before its end."""
        status = self.value(stream_id, b"grpc-status")
        return None if status is None else int(status)

    def was_reset(self, stream_id):
        """Returns the code of the reset that ended the stream; None without one."""
        codes = [item[2] for item in self.events if item[:2] == ("stream_reset", stream_id)]
        return codes[0] if codes else None

    def has_ended(self, stream_id):
        """Returns whether the other side has ended the stream."""
        return any(
            item[0] in {"data", "headers"} and item[1] == stream_id and item[3]
            for item in self.events
        )
