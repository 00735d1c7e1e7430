"""Both ends of TLS connections on the loopback: a server that greets, and its clients."""

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.certificates import PemFiles
from vecguard.tls.contexts import client_context, mutual_server_context, server_context
from vecguard.tls.reloading import ReloadingContext

DEADLINE_SECONDS = 10.0
GREETING = b"hello\n"
#: How OpenSSL's refusals arrive, depending on which side refuses and how far it got.
REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)


def server(pems: PemFiles, *, mutual=False, **options) -> ReloadingContext:
    return ReloadingContext(
        pems.files(authorities=mutual),
        mutual_server_context if mutual else server_context,
        label="server",
        **options,
    )


def dialler(directory: Path, *authorities, identity=None, **options) -> ReloadingContext:
    pems = PemFiles(directory)
    pems.put_authorities(*authorities)
    if identity is not None:
        pems.put_identity(identity)
    files = pems.files(identity=identity is not None, authorities=True)
    return ReloadingContext(files, client_context, label="client", **options)


def lone_client(directory: Path, ca, identity=None) -> ssl.SSLContext:
    return dialler(directory, ca, identity=identity).current()


class Connection:
    """One open connection of a client."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    @property
    def server(self):
        """The server's common name."""
        return dict(rdn[0] for rdn in self._writer.get_extra_info("peercert")["subject"])[
            "commonName"
        ]

    @property
    def protocol(self):
        tls = self._writer.get_extra_info("ssl_object")
        return tls.version(), tls.selected_alpn_protocol()

    async def echo(self, line=b"ping\n"):
        async with asyncio.timeout(DEADLINE_SECONDS):
            self._writer.write(line)
            await self._writer.drain()
            return await self._reader.readuntil() == line

    async def close(self):
        self._writer.close()
        with suppress(*REFUSED):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._writer.wait_closed()


@asynccontextmanager
async def dial(port, context, name="localhost"):
    """A connection that both sides have accepted, which only a first byte proves."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        connection = Connection(reader, writer)
        try:
            assert await reader.readuntil() == GREETING
        except BaseException:
            await connection.close()
            raise
    try:
        yield connection
    finally:
        await connection.close()


async def refusal(port, context, name="localhost"):
    """How the attempt to connect ended; fails if it was accepted."""
    try:
        async with dial(port, context, name):
            pass
    except REFUSED as error:
        return error
    raise AssertionError("the connection was accepted")


class Listener:
    """Greets each client after its handshake, and echoes lines."""

    def __init__(self):
        self.port = 0
        self.peers = []

    async def _serve(self, reader, writer):
        self.peers.append(writer.get_extra_info("peercert"))
        try:
            writer.write(GREETING)
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except REFUSED:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(context: ssl.SSLContext | None):
    listener = Listener()
    server = await asyncio.start_server(
        listener._serve, "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=5.0 if context else None
    )
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        # From Python 3.12 on wait_closed waits for clients, and tests leave some in a handshake.
        server.close()
