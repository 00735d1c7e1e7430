"""Answers each request by the same bytes at once: `python -m tests.bench.reflex`.

What a relay costs shows only before a backend that costs next to nothing.
"""

import asyncio
import sys
from struct import Struct

_HEAD = Struct(">IBI")
_PREFACE_BYTES = 24
_MESSAGE = b"\0\0\0\0\x05hello"
_ANSWER = b"\x88\x0f\x10\x10application/grpc"
_TRAILERS = b"\x00\x0bgrpc-status\x010"


class Reflex(asyncio.Protocol):
    def connection_made(self, transport):
        self._transport = transport
        self._rest = b""
        self._preface = _PREFACE_BYTES
        # A stream's window is more than any request; the connection's is as large as it gets.
        transport.write(
            _HEAD.pack(6 << 8 | 4, 0, 0)
            + (4).to_bytes(2)
            + (2**30).to_bytes(4)
            + _HEAD.pack(4 << 8 | 8, 0, 0)
            + (2**30).to_bytes(4)
        )

    def data_received(self, data):
        data = self._rest + data
        at = self._preface
        self._preface = 0
        out = []
        while len(data) - at >= 9:
            word, flags, stream_id = _HEAD.unpack_from(data, at)
            if len(data) - at - 9 < word >> 8:
                break
            kind = word & 0xFF
            if kind < 2 and flags & 1:
                out += [
                    _HEAD.pack(len(_ANSWER) << 8 | 1, 4, stream_id),
                    _ANSWER,
                    _HEAD.pack(len(_MESSAGE) << 8, 0, stream_id),
                    _MESSAGE,
                    _HEAD.pack(len(_TRAILERS) << 8 | 1, 5, stream_id),
                    _TRAILERS,
                ]
            elif kind == 4 and not flags & 1:
                out.append(_HEAD.pack(4, 1, 0))
            at += 9 + (word >> 8)
        self._rest = data[at:]
        self._transport.write(b"".join(out))


async def main():
    server = await asyncio.get_running_loop().create_server(Reflex, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    sys.exit(run(main()))
