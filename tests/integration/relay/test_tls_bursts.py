"""TLS clients that send much at once which is small: no turn of the loop is theirs alone."""

import asyncio
import ssl
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.frame_sequences import frame
from tests.support.policies import bounds_with, lifetime_with
from tests.support.raw_http2 import OK, Peer, message, raw_backend
from tests.support.relay import relaying
from tests.support.waiting import eventually
from vecguard.proxy.http2 import frames
from vecguard.proxy.relay.clients.http1 import ANSWER
from vecguard.proxy.relay.limits import RelayLimit
from vecguard.tls.live import Handshake, LiveContext

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))

TIMEOUT = 20.0
#: What the proxy may read at once, with some room for what is not small.
MOST_RECORDS = 80


class Turns:
    """Counts the turns of the running loop."""

    def __init__(self):
        self.now = 0
        self._loop = asyncio.get_running_loop()
        self._next()

    def _next(self):
        self.now += 1
        self._handle = self._loop.call_soon(self._next)

    def stop(self):
        self._handle.cancel()


class Shredder:
    """A TLS client that cuts what it says into records of one byte, and sends them at once."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    @classmethod
    async def connected(cls, port, context):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self = cls(reader, writer)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(self._outgoing.read())
                self._incoming.write(await reader.read(65536))
        writer.write(self._outgoing.read())
        return self

    def write(self, data):
        for at in range(len(data)):
            self._tls.write(data[at : at + 1])
        self._writer.write(self._outgoing.read())

    async def read(self, _size=65536):
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                data = await self._reader.read(65536)
                if not data:
                    return b""
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    def close(self):
        self._writer.transport.abort()

    async def wait_closed(self):
        """Part of what is used of a StreamWriter."""

    @property
    def transport(self):
        return self._writer.transport


@asynccontextmanager
async def shredding(port, context):
    client = await Shredder.connected(port, context)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def records(monkeypatch):
    """How many records the proxy has read in each turn, once `turns` is set."""
    counts = Counter()
    read = Handshake.read

    def counted(self, *into):
        data = read(self, *into)
        if self.server_side and (turns := counts_of["turns"]) is not None:
            counts[turns.now] += 1
        return data

    counts_of = {"turns": None, "counts": counts}
    monkeypatch.setattr(Handshake, "read", counted)
    return counts_of


async def cut_message(tls_contexts, records, payload):
    tls, context = tls_contexts
    async with (
        raw_backend() as backend,
        relaying(backend.port, tls=tls) as relay,
        shredding(relay.port, context) as client,
        asyncio.timeout(TIMEOUT),
    ):
        peer = Peer(client, client, client_side=True)
        await peer.until(lambda: peer.events)
        records["turns"] = turns = Turns()
        mine = peer.request(body=message(payload))
        served, stream_id = await backend.requested()
        await served.until(lambda: served.received_bytes(stream_id) == len(payload) + 5)
        assert served.body(stream_id) == message(payload)
        served.answer(stream_id, message(b"x"))
        assert (await peer.response(mine))[1:] == (message(b"x"), list(OK))
        turns.stop()
        await peer.close()
    assert records["counts"].total() > len(payload)
    assert max(records["counts"].values()) <= MOST_RECORDS


@pytest.mark.parametrize("loop", LOOPS)
def test_a_message_in_many_tiny_records_arrives_and_takes_many_turns(tls_contexts, records, loop):
    payload = bytes(range(256)) * 30
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(cut_message(tls_contexts, records, payload))


async def cut_http1_request(tls_contexts, records, protocols):
    tls, context = tls_contexts
    context.set_alpn_protocols(protocols)
    async with (
        raw_backend() as backend,
        relaying(backend.port, tls=tls) as relay,
        shredding(relay.port, context) as client,
        asyncio.timeout(TIMEOUT),
    ):
        records["turns"] = turns = Turns()
        client.write(b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n\r\n" + b"b" * 1000)
        assert await client.read() == ANSWER
        assert not await client.read()
        turns.stop()
    assert max(records["counts"].values()) <= MOST_RECORDS


@pytest.mark.parametrize("protocols", [["h2"], []], ids=["h2", "none"])
@pytest.mark.parametrize("loop", LOOPS)
def test_an_http1_request_in_tiny_records_is_answered(tls_contexts, records, loop, protocols):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(cut_http1_request(tls_contexts, records, protocols))


async def cut_nonsense(tls_contexts, records):
    tls, context = tls_contexts
    async with (
        raw_backend() as backend,
        relaying(backend.port, tls=tls) as relay,
        shredding(relay.port, context) as client,
        asyncio.timeout(TIMEOUT),
    ):
        records["turns"] = turns = Turns()
        client.write(frames.PREFACE + frame(frames.DATA, 0, 0, b"x") + b"y" * 4000)
        said = b""
        try:
            while data := await client.read():
                said += data
        except (ConnectionError, ssl.SSLError):
            pass  # what is left unread resets the connection
        turns.stop()
    assert max(records["counts"].values()) <= MOST_RECORDS


@pytest.mark.parametrize("loop", LOOPS)
def test_tiny_records_are_not_read_when_the_connection_is_closed(tls_contexts, records, loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(cut_nonsense(tls_contexts, records))


def hello(context):
    """The first message of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


async def crowd(tls_contexts, begun, count):
    tls, context = tls_contexts
    said = hello(context)
    async with raw_backend() as backend, relaying(backend.port, tls=tls) as relay:
        async with AsyncExitStack() as stack:
            begun["turns"] = turns = Turns()
            writers = []
            for _ in range(count):
                _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
                stack.callback(writer.transport.abort)
                writers.append(writer)

            async def all_are_inside():
                return relay.listener.connections == count

            await eventually(all_are_inside)
            after = turns.now + 20

            async def some_turns_are_over():
                return turns.now > after

            await eventually(some_turns_are_over)
            assert not begun["counts"]
            for writer in writers:
                writer.write(said[:-1])
            after = turns.now + 20
            await eventually(some_turns_are_over)
            assert not begun["counts"]
            for writer in writers:
                writer.write(said[-1:])

            async def all_have_begun():
                return begun["counts"].total() == count

            await eventually(all_have_begun)
            turns.stop()
        assert not relay.listener.hits.counts[RelayLimit.HANDSHAKE]
    assert max(begun["counts"].values()) <= 4


@pytest.mark.parametrize("loop", LOOPS)
def test_handshakes_begin_when_their_clients_speak_and_few_at_once(tls_contexts, monkeypatch, loop):
    begun = {"turns": None, "counts": Counter()}
    wrap = LiveContext.wrap_bio

    def counted(self, *arguments, **options):
        begun["counts"][begun["turns"].now] += 1
        return wrap(self, *arguments, **options)

    monkeypatch.setattr(LiveContext, "wrap_bio", counted)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(crowd(tls_contexts, begun, 50))


async def silence(tls_contexts):
    tls, _ = tls_contexts
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=0.2))
    async with raw_backend() as backend, relaying(backend.port, tls=tls, bounds=bounds) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        async with asyncio.timeout(TIMEOUT):
            assert await reader.read() == b""
        writer.transport.abort()
        assert relay.listener.hits.counts[RelayLimit.HANDSHAKE] == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_never_speaks_has_the_time_of_a_handshake(tls_contexts, loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(silence(tls_contexts))
