"""A handler that records the events of a connection, and a reader of frames."""

from struct import Struct

from vecguard.proxy.http2.handler import Handler

_HEAD = Struct(">IBI")


class RecordingHandler(Handler):
    def __init__(self):
        self.streams = {}
        self.events = []

    def accepted(self, stream, fields, end):
        self.streams[stream.id] = stream
        self._fields(stream, fields, end)

    def headers(self, stream, fields, end):
        self._fields(stream, fields, end)

    def data(self, stream, payload, end):
        self.events.append(("data", stream.id, payload, end))

    def sent(self, stream, size):
        self.events.append(("sent", stream.id, size))

    def stream_reset(self, stream, code, *, by_peer):
        self.events.append(("stream_reset", stream.id, code, by_peer))

    def settings_received(self):
        self.events.append(("settings_received",))

    def goaway_received(self, last_stream_id):
        self.events.append(("goaway_received", last_stream_id))

    def ping_acknowledged(self):
        self.events.append(("ping_acknowledged",))

    def failed(self, error):
        self.events.append(("failed", type(error).__name__))

    def finished(self, stream):
        self.events.append(("finished", stream.id))

    def headers_of(self, stream_id):
        """Returns every field of the stream, in order."""
        return [
            header
            for item in self.events
            if item[0] == "headers" and item[1] == stream_id
            for header in item[2]
        ]

    def data_of(self, stream_id):
        return b"".join(item[2] for item in self.events if item[:2] == ("data", stream_id))

    def _fields(self, stream, fields, end):
        seen = None if fields is None else [(field.name, field.value) for field in fields]
        self.events.append(("headers", stream.id, seen, end))


def parsed(data):
    """Returns (type, flags, stream, payload) of each frame; skips a client's preface."""
    data = data.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    frames, at = [], 0
    while at < len(data):
        word, flags, stream_id = _HEAD.unpack_from(data, at)
        begin, at = at + 9, at + 9 + (word >> 8)
        frames.append((word & 0xFF, flags, stream_id, bytes(data[begin:at])))
    return frames
