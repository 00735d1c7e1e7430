"""Probes a starting server. Each probe ends within a second and raises nothing for a refusal."""

import asyncio
import functools
import json
import ssl
from collections.abc import Awaitable, Callable

Probe = Callable[[], Awaitable[bool]]

_ANSWER_SECONDS = 1.0
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_HEADER_SIZE = 9
_FRAME_TYPE_AT = 3
_SETTINGS = 4


def http_ok(
    port: int,
    path: str,
    *,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> Probe:
    """Returns a probe: whether `path` on this loopback port answers 200.

    Args:
        port: the port of a server on 127.0.0.1.
        path: the path to request.
        tls: makes the TLS context when it is first needed; None for plain HTTP.
    """
    request = _get(port, path)
    context = functools.cache(tls) if tls is not None else lambda: None

    async def probe() -> bool:
        status_line = await _ask(port, request, lambda reader: reader.readline(), context())
        return status_line.split()[1:2] == [b"200"]

    return probe


def decides_logins(port: int) -> Probe:
    """Returns a probe: whether the proxy with this operations port is ready and has a session.

    A proxy without authorization is ready without a session too, but it cannot change users.
    """
    request = _get(port, "/readyz")

    async def probe() -> bool:
        head, _, body = (await _ask(port, request, lambda reader: reader.read())).partition(
            b"\r\n\r\n"
        )
        if head.split()[1:2] != [b"200"]:
            return False
        try:
            return bool(json.loads(body)["checks"]["logins"]["healthy"])
        except ValueError:
            # It ended in the middle of its answer.
            return False

    return probe


def speaks_http2(port: int) -> Probe:
    """Returns a probe: whether a gRPC server on this loopback port begins an HTTP/2 connection."""

    async def probe() -> bool:
        header = await _ask(
            port,
            _HTTP2_PREFACE + _EMPTY_SETTINGS,
            lambda reader: reader.readexactly(_FRAME_HEADER_SIZE),
        )
        return bool(header) and header[_FRAME_TYPE_AT] == _SETTINGS

    return probe


def _get(port: int, path: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


async def _ask(
    port: int,
    request: bytes,
    read: Callable[[asyncio.StreamReader], Awaitable[bytes]],
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Returns the first bytes of the answer; none if no usable answer came in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(request)
            return await read(reader)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return b""
    finally:
        if writer is not None:
            writer.transport.abort()
