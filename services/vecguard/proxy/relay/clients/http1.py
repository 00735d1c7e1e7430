"""Answers callers that speak HTTP/1 (browsers, curl, Milvus's REST clients) with an error."""

import asyncio
import re
from collections.abc import Callable

from vecguard.tls.live import Handshake

_TEXT = (
    b"This port speaks gRPC over HTTP/2. Health and metrics are on the operations port "
    b"(proxy.operations.port, 9091 by default).\n"
)
ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n"
    b"\r\n" % len(_TEXT)
) + _TEXT

# Servers should read request lines of 8000 bytes (RFC 9112, section 3).
_MAX_BYTES = 8192
# Empty lines before a request are ignored (section 2.2). A target may have any bytes but blanks and
# controls, because some clients send UTF-8 unescaped.
_EMPTY_LINES = rb"(?:\r?\n)*"
_METHOD = rb"[A-Z]+"
_TARGET = rb"[!-~\x80-\xff]"
_REQUEST_LINE = re.compile(_EMPTY_LINES + _METHOD + b" " + _TARGET + rb"+ HTTP/1\.[0-9]\r?\n")
_BEGINNING = re.compile(
    _EMPTY_LINES + rb"(?:\r|" + _METHOD + b"(?: " + _TARGET + rb"*(?: [HTP/1.0-9]*\r?)?)?)?"
)
# How long the rest of a request is read and dropped. Closing a socket with unread bytes resets it,
# and the client may lose the answer.
_LINGER_SECONDS = 1.0


def may_be_request(data: bytes) -> bool:
    """Returns whether these bytes begin an HTTP/1 request, or could with more bytes."""
    return is_request(data) or (len(data) <= _MAX_BYTES and _BEGINNING.fullmatch(data) is not None)


def is_request(data: bytes) -> bool:
    """Returns whether these bytes begin with an HTTP/1 request line, of any length."""
    beginning = data[:_MAX_BYTES]
    if len(data) > _MAX_BYTES and _BEGINNING.fullmatch(beginning) is not None:
        return b" " in beginning
    return _REQUEST_LINE.match(beginning) is not None


class Http1Responder:
    """An `asyncio.Protocol` that takes a connection over, answers it and closes it.

    The timers of the connection continue: its request must come in time.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        answered: Callable[[], None],
        foreign: Callable[[], None],
        lost: Callable[[Exception | None], None],
        tls: Handshake | None,
    ) -> None:
        """Takes the transport and the callbacks.

        Args:
            transport: of the connection.
            answered: called after the answer to an HTTP/1 request.
            foreign: called if the bytes are not HTTP/1.
            lost: called when the connection is closed.
            tls: the handshake, which may hold records (`bound_records`); None without TLS.
        """
        self._transport = transport
        self._answered = answered
        self._foreign = foreign
        self._lost = lost
        self._tls = tls
        self._data = b""
        self._is_over = False

    def data_received(self, data: bytes) -> None:
        """Reads the request line and drops everything after it."""
        if self._tls is not None and self._tls.is_held:
            self._transport.pause_reading()
            self._tls.go_on()
            self._transport.resume_reading()  # in the next turn of the loop
        if self._is_over:
            return
        self._data += data
        if is_request(self._data):
            self._is_over = True
            self._transport.write(ANSWER)
            if self._transport.can_write_eof():  # not with TLS
                self._transport.write_eof()
            self._answered()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)
        elif not may_be_request(self._data):
            self._is_over = True
            self._foreign()

    def eof_received(self) -> None:
        """Lets asyncio close the socket."""

    def connection_lost(self, error: Exception | None) -> None:
        self._lost(error)

    def pause_writing(self) -> None:
        """Does nothing: only the short answer is written."""

    def resume_writing(self) -> None:
        """Does nothing: see pause_writing."""
