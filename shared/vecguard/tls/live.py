"""Provides an ssl context that always uses the newest one, and handshakes that report failures."""

import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, Self

# The limit of bytes in records without data, at once and in each second. An incomplete record
# counts until it is complete, and holds 16 KiB; a KeyUpdate (RFC 8446, section 4.6.3) has 27
# bytes, costs as much as a call, and honest peers send one in a million records.
_MAX_WITHOUT_DATA = 64 * 1024
# The maximum overhead of a record, in bytes.
_RECORD_OVERHEAD = 64
# A record with less data costs as much as a full one; only so many are read at once after
# `bound_records` was called. Libraries fill records, and send a small message in one.
_SMALL_BYTES = 1024
_SMALL_RECORDS = 64


def _ignore(_error: ssl.SSLError) -> None:
    """Ignores a failed handshake."""


class Handshake(ssl.SSLObject):
    """A connection whose failed handshake sends its alert to the peer before it ends.

    OpenSSL writes an alert ("certificate required", "protocol version") into the outgoing
    buffer, but asyncio and uvloop drop the buffer when a handshake fails, and the client
    learns only that the connection was reset. So the error is held back once, as if more
    data were needed: the event loop sends the buffer and waits for the peer to close. The
    loop's handshake timeout bounds that wait. Only servers do so; a client's caller needs
    the error itself.

    After the handshake it cuts off a peer that keeps sending messages of TLS itself: OpenSSL
    answers each of them, and handles all that have arrived before another task can run.

    Attributes:
        is_held: whether unread data is held back until `go_on`.
    """

    is_held = False
    _small_records = 0
    _most_small_records = sys.maxsize

    _incoming: ssl.MemoryBIO | None = None
    _without_data = 0
    _counted_at = 0.0
    _alert_buffer: ssl.MemoryBIO | None = None
    _on_failure: Callable[[ssl.SSLError], None] = staticmethod(_ignore)
    _failure: ssl.SSLError | None = None

    def watch(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        on_failure: Callable[[ssl.SSLError], None],
    ) -> Self:
        """Sends alerts through `outgoing`, and reports a failure once."""
        self._incoming = incoming
        self._counted_at = time.monotonic()
        self._alert_buffer = outgoing
        self._on_failure = on_failure
        return self

    def bound_records(self) -> None:
        """Makes the event loop read only a few small records at once.

        From now on, when `is_held` is set after data has arrived, the caller must pause the
        transport, and call `go_on` before it resumes it, which makes the loop read the rest.
        """
        self._most_small_records = _SMALL_RECORDS

    def go_on(self) -> None:
        """Lets the held data be read."""
        self._small_records = 0
        self.is_held = False

    # The signature of ssl.SSLObject, with its two forms.
    def read(self, *into: Any) -> Any:
        """Returns data of the peer.

        Raises:
            ssl.SSLWantReadError: more is needed, or the rest is held.
            ssl.SSLError: the connection is broken, or the peer sends too much without data.
        """
        incoming = self._incoming
        if incoming is None:
            return super().read(*into)
        if self._small_records >= self._most_small_records:
            self.is_held = True
            raise ssl.SSLWantReadError("others have their turn first")
        before = incoming.pending
        try:
            data: Any = super().read(*into)
        except ssl.SSLWantReadError:
            self._small_records = 0
            self._count(before - incoming.pending)
            raise
        size = data if isinstance(data, int) else len(data)
        left = incoming.pending
        if not left:
            self._small_records = 0
        elif size < _SMALL_BYTES:
            self._small_records += 1
        self._count(before - left - size - _RECORD_OVERHEAD)
        return data

    def _count(self, without_data: int) -> None:
        self._without_data = max(0, self._without_data + without_data)
        if self._without_data <= _MAX_WITHOUT_DATA:
            return
        # Only here: an honest peer never gets here, and reading the clock costs the most.
        now = time.monotonic()
        forgiven = int((now - self._counted_at) * _MAX_WITHOUT_DATA)
        self._without_data = max(0, self._without_data - forgiven)
        self._counted_at = now
        if self._without_data > _MAX_WITHOUT_DATA:
            error = ssl.SSLError(ssl.SSL_ERROR_SSL, "too many messages without data")
            error.reason = "TOO_MUCH_WITHOUT_DATA"
            self._on_failure(error)
            raise error

    def do_handshake(self) -> None:
        """Continues the handshake.

        Raises:
            ssl.SSLWantReadError: more data is needed, or an alert must be sent first.
            ssl.SSLError: it has failed.
        """
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._on_failure(error)
            if not (self.server_side and self._alert_buffer and self._alert_buffer.pending):
                raise
            self._failure = error
            raise ssl.SSLWantReadError("an alert is to be sent first") from None


class LiveContext(ssl.SSLContext):
    """Makes every new connection use the context that `source` returns at that moment.

    A running listener or a client's channel is given its context once. A certificate could
    be exchanged inside it, but a CA cannot be taken out of it, and tickets that the old
    material granted would still be accepted. Here each connection uses exactly one
    context, and a change ends none of them. asyncio and uvloop make a connection by
    `wrap_bio`; code that uses the object in another way finds neither certificate nor CA in
    it, so it fails and does not connect.

    Attributes:
        server_name: for clients, the name that is sent and that the server's certificate
            must carry, instead of the address that was dialled.
    """

    _source: Callable[[], ssl.SSLContext]
    _on_failure: Callable[[ssl.SSLError], None]
    server_name: str | None

    # ssl.SSLContext is made in __new__ and has no __init__ of its own.
    def __new__(
        cls,
        source: Callable[[], ssl.SSLContext],
        server_name: str | None = None,
        on_failure: Callable[[ssl.SSLError], None] = _ignore,
    ) -> Self:
        current = source()
        live = super().__new__(cls, current.protocol)
        live._source = source
        live._on_failure = on_failure
        live.server_name = server_name
        live.minimum_version = current.minimum_version
        live.verify_mode = current.verify_mode
        return live

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature of ssl.SSLContext
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Returns a connection of the current context over memory buffers."""
        connection = self._source().wrap_bio(
            incoming,
            outgoing,
            server_side=server_side,
            server_hostname=self.server_name or server_hostname,
            session=session,
        )
        if isinstance(connection, Handshake):
            connection.watch(incoming, outgoing, self._on_failure)
        return connection
