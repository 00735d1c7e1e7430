"""TLS answers any number of some messages by itself: a client that sends only those is cut."""

import asyncio
import ctypes
import importlib
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.stacks import running_stack
from tests.support.frame_sequences import frame
from tests.support.metrics import scrape
from tests.support.waiting import eventually
from vecguard.config.security import TlsMode
from vecguard.proxy.http2 import frames

_GREETING = frames.PREFACE + frame(frames.SETTINGS, 0, 0, b"")
_ANSWER_REQUESTED = 1  # RFC 8446, section 4.6.3
_FAILURES = "vecguard_tls_handshake_failures_total"


def _openssl():
    """Python has no words for KeyUpdate; what its own module is linked with has."""
    library = ctypes.CDLL(importlib.import_module("_ssl").__file__)
    try:
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(library, name).restype = ctypes.c_void_p
    except AttributeError:
        pytest.skip("OpenSSL is linked into Python")
    return library


class KeyUpdates:
    """A client that asks for new keys as fast as it can."""

    def __init__(self, host: str, port: int) -> None:
        self.sent = 0
        self.was_cut = False
        self._socket = socket.socket()
        self._socket.connect((host, port))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        library = _openssl()
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        library.SSL_CTX_set_alpn_protos(context, b"\x02h2", 3)
        connection = ctypes.c_void_p(library.SSL_new(context))
        library.SSL_set_fd(connection, self._socket.fileno())
        if library.SSL_connect(connection) == 1:
            library.SSL_write(connection, _GREETING, len(_GREETING))
            while (
                library.SSL_key_update(connection, _ANSWER_REQUESTED) == 1
                and library.SSL_do_handshake(connection) == 1
            ):
                self.sent += 1
            self.was_cut = True


@pytest.mark.skipif(not ssl.HAS_TLSv1_3, reason="KeyUpdate is of TLS 1.3")
async def test_a_client_that_asks_for_new_keys_without_end_is_cut(tmp_path: Path):
    _openssl()
    async with running_stack(tmp_path, tls=TlsMode(1)) as stack:
        proxy = stack.proxies[0]
        host, _, port = proxy.address.rpartition(":")
        attacker = await asyncio.to_thread(KeyUpdates, host, int(port))
        with attacker:

            async def it_is_cut() -> bool:
                return attacker.was_cut

            await eventually(it_is_cut, 60.0)
        # What the sockets and one read of the proxy hold. Without a bound it goes on for ever.
        assert attacker.sent < 1_000_000
        metrics = await scrape(proxy.operations_address)
        assert metrics.labelled(_FAILURES, "reason") == {"TOO_MUCH_WITHOUT_DATA": 1}
