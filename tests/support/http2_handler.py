"""A connection's handler that notes what it is told, and a reader of what was said."""

from struct import Struct

from vecguard.proxy.http2.handler import Handler

_HEAD = Struct(">IBI")


class RecordingHandler(Handler):
    def __init__(self):
        self.streams = {}
        self.told = []

    def accepted(self, stream, fields, end):
        self.streams[stream.id] = stream
        self._fields(stream, fields, end)

    def headers(self, stream, fields, end):
        self._fields(stream, fields, end)

    def data(self, stream, payload, end):
        self.told.append(("data", stream.id, payload, end))

    def sent(self, stream, size):
        self.told.append(("sent", stream.id, size))

    def aborted(self, stream, code, *, by_peer):
        self.told.append(("aborted", stream.id, code, by_peer))

    def settled(self):
        self.told.append(("settled",))

    def leaving(self, last_stream_id):
        self.told.append(("leaving", last_stream_id))

    def ponged(self):
        self.told.append(("ponged",))

    def failed(self, error):
        self.told.append(("failed", type(error).__name__))

    def finished(self, stream):
        self.told.append(("finished", stream.id))

    def headers_of(self, stream_id):
        """Every field of the stream, in order."""
        return [
            header
            for item in self.told
            if item[0] == "headers" and item[1] == stream_id
            for header in item[2]
        ]

    def data_of(self, stream_id):
        return b"".join(item[2] for item in self.told if item[:2] == ("data", stream_id))

    def _fields(self, stream, fields, end):
        seen = None if fields is None else [(field.name, field.value) for field in fields]
        self.told.append(("headers", stream.id, seen, end))


def parsed(data):
    """The (type, flags, stream, payload) of each frame; a client's preface is passed over."""
    data = data.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    frames, at = [], 0
    while at < len(data):
        word, flags, stream_id = _HEAD.unpack_from(data, at)
        begin, at = at + 9, at + 9 + (word >> 8)
        frames.append((word & 0xFF, flags, stream_id, bytes(data[begin:at])))
    return frames
