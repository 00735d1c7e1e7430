"""Attacks on a real proxy process: memory stays bounded, and an honest client goes on.

An attacker that is cut connects anew and goes on. Nothing is said about time here: on a
busy machine the honest client waits for its turn, as it would for any other load.
"""

import asyncio
import struct
from contextlib import suppress

import pytest
from hpack import Encoder

from tests.integration.abuse.attacked_proxy import ROOT, AttackedProxy
from tests.support.credentials import header_of
from tests.support.frame_sequences import frame
from tests.support.raw_http2 import request_headers
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.limits import Limit
from vecguard.proxy.relay.limits import RelayLimit

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

MEBIBYTE = 2**20
#: What an attack may add to the resident memory of the process, if nothing else is said.
BOUND_BYTES = 32 * MEBIBYTE
#: The same where data waits: `http2.maxBuffered` (16 MiB here) and what holds it.
BUFFERED_BOUND_BYTES = 64 * MEBIBYTE
#: The same where it is headers: what one turn of the loop reads takes three times as much.
HEADERS_BOUND_BYTES = 96 * MEBIBYTE
#: The same where two attackers hold a thousand open calls each, of some 20 KiB.
HELD_BOUND_BYTES = 64 * MEBIBYTE
MAX_INCREMENT = (2**31 - 1).to_bytes(4)
ONE = (1).to_bytes(4)
#: Windows as large as can be: the relay may send whatever there is.
GREETING = (
    frames.PREFACE
    + frame(frames.SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
    + frame(frames.WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4))
)
MANY = 1000


def call(stream_id, path=b"/test.Echo/Silent", *, end=False):
    block = Encoder().encode(request_headers(path, (b"authorization", ROOT)))
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    return frame(frames.HEADERS, flags, stream_id, block)


def held(stream_id):
    """A call that waits for its request in the proxy: a backend has limits of its own."""
    return call(stream_id, b"/milvus.proto.milvus.MilvusService/CreateCredential")


def refused(stream_id):
    """A call that is refused for its login, which costs the attacker least."""
    block = Encoder().encode(request_headers(b"/test.Echo/Unary"))
    return frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)


def shredded(stream_id):
    """A message of which each frame brings one byte."""
    prefix = frame(frames.DATA, 0, stream_id, b"\0\0\0\xff\xff")
    return held(stream_id) + prefix + frame(frames.DATA, 0, stream_id, b"x") * MANY


def streams():
    return iter(range(1, 2**31, 2))


async def heard(reader):
    """Throws away what is said until the connection is gone."""
    with suppress(OSError):
        while await reader.read(65_536):
            pass


async def poured(reader, writer, parts):
    """Sends everything, as fast as the socket takes it, until the connection is cut."""
    listening = asyncio.create_task(heard(reader))
    try:
        writer.write(GREETING)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
            if listening.done():
                return
        await listening
    except OSError:
        pass
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def flood(make):
    """An attack of batches: `make` gives each one from the numbers of streams that are left."""

    async def attack(reader, writer):
        numbers = streams()

        def batches():
            while True:
                yield make(numbers)

        await poured(reader, writer, batches())

    return attack


def each(make):
    return flood(lambda numbers: b"".join(make(next(numbers)) for _ in range(100)))


def each_held(make):
    """What goes on in open calls, one after the other."""

    def batch(numbers):
        number = next(numbers)
        return held(number) + make(number)

    return flood(batch)


async def header_list(reader, writer):
    """An HPACK bomb: four kibibytes in the table, and an index of one byte for each more."""
    bomb = Encoder()
    first = bomb.encode([*request_headers(), (b"k", b"v" * 3000)], huffman=False)

    def parts():
        numbers = streams()
        yield frame(frames.HEADERS, frames.END_HEADERS, next(numbers), first)
        again = bomb.encode([(b"k", b"v" * 3000)])
        while True:
            yield frame(frames.HEADERS, frames.END_HEADERS, next(numbers), again * 10_000)

    await poured(reader, writer, parts())


async def never_reading(reader, writer):
    """Asks for answers without end and reads nothing of them."""
    writer.write(GREETING)
    for number in range(1, 41, 2):
        writer.write(call(number, b"/test.Echo/Endless") + frame(0, 1, number, bytes(5)))
    reader._transport.pause_reading()  # the kernel's buffer is all that is left
    while not writer.transport.is_closing():
        await asyncio.sleep(0.05)
        writer.write(frame(frames.PING, frames.ACK, 0, bytes(8)))  # to hear of a cut


async def asking_and_not_reading(reader, writer):
    """Asks for answers that no window bounds, and reads none of them."""
    reader._transport.pause_reading()
    writer.write(GREETING)
    empty = bytes(5)
    with suppress(OSError):
        for number in streams():
            writer.write(call(number, b"/test.Echo/Wordy") + frame(0, 1, number, empty))
            await writer.drain()
            await asyncio.sleep(0.002)  # the honest client's calls go to the same backend
            if writer.transport.is_closing():
                break


async def greeted(reader, writer):
    """A connection that says what it must, and no more."""
    writer.write(GREETING)
    await heard(reader)


async def pinging(reader, writer):
    """A connection without calls, kept alive by PINGs."""
    writer.write(GREETING)
    listening = asyncio.create_task(heard(reader))
    try:
        while not listening.done():
            writer.write(frame(frames.PING, 0, 0, bytes(8)))
            await asyncio.wait([listening], timeout=0.1)
    finally:
        listening.cancel()


async def holding(reader, writer):
    """A connection with a call that its client never ends."""
    writer.write(GREETING + held(1))
    await heard(reader)


def unknown(stream_id):
    """A call of a user who must be looked up, checked, and in the end made to wait."""
    login = header_of(f"nobody{stream_id}", "whatever")
    block = Encoder().encode(request_headers(b"/test.Echo/Unary", (b"authorization", login)))
    return frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)


def large_headers(make):
    """Calls with nearly all the headers that are allowed, by what opens one without these."""
    more = Encoder().encode([(b"x%d" % number, b"v" * 3800) for number in range(15)], huffman=False)

    def opened(number):
        head = make(number)
        begin = struct.pack(">I", len(head) - 9)[1:] + struct.pack(">BBI", 1, 0, number)
        pieces = [more[at : at + 16_000] for at in range(0, len(more), 16_000)]
        rest = [frame(frames.CONTINUATION, 0, number, piece) for piece in pieces[:-1]]
        last = frame(frames.CONTINUATION, frames.END_HEADERS, number, pieces[-1])
        return begin + head[9:] + b"".join(rest) + last

    return flood(lambda numbers: opened(next(numbers)))


def beginnings():
    """Blocks that are worth remembering for what they begin with: nothing but indices.

    Each stands for 60 KiB of headers, and no two are alike.
    """
    encoder = Encoder()
    first = [*request_headers(b"/a.B/C"), (b"k", b"v" * 3500)]
    # Once to fill the table, and from then on everything has an index.
    yield encoder.encode(first, huffman=False)
    whole = encoder.encode(first)
    yield whole
    for number in range(64):
        # `accept-encoding: gzip, deflate` of the static table, in another place each time.
        repeated = bytearray(whole[-1:] * 16)
        repeated.insert(number % 16, 0x90)
        repeated.insert(number // 16, 0x90)
        yield whole + bytes(repeated)


async def remembered_headers(reader, writer):
    """What a connection remembers of headers, as much as can be made of it without a login."""
    blocks = [
        frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, number, block)
        for number, block in zip(streams(), beginnings(), strict=False)
    ]
    writer.write(GREETING + b"".join(blocks))
    await heard(reader)


async def begun_headers(reader, writer):
    """A header block as large as can be, whose end never comes; no login is needed for that."""
    writer.write(GREETING + BEGUN_HEADERS)
    await heard(reader)


async def silent(reader, writer):
    """A connection on which nothing is ever said."""
    await heard(reader)


async def begun(reader, writer):
    """A preface that does not end."""
    writer.write(frames.PREFACE[:-1])
    await heard(reader)


WITHOUT_END = frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 20
#: Just within `http2.maxHeaderListSize`'s bound on a block, and a frame that is cut.
BEGUN_HEADERS = (
    frame(frames.HEADERS, 0, 1)
    + frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 8
    + frame(frames.CONTINUATION, 0, 1, bytes(3_000))[:-1]
)
SETTINGS = frame(frames.SETTINGS, 0, 0, struct.pack(">HI", 3, 100))
OVERSIZED = b"\0\xff\xff\xff\xff" + bytes(16_000)

ATTACKS = {
    "streams": (each(held), {Limit.STREAMS, Limit.USELESS_FRAMES}),
    "header list": (header_list, {Limit.HEADER_LIST}),
    "CONTINUATION": (flood(lambda numbers: WITHOUT_END), {Limit.HEADER_BLOCK}),
    "empty CONTINUATION": (
        flood(lambda numbers: frame(1, 0, 1) + frame(frames.CONTINUATION, 0, 1) * MANY),
        {Limit.HEADER_BLOCK},
    ),
    "rapid reset": (
        each(lambda number: call(number) + frame(frames.RST_STREAM, 0, number, bytes(4))),
        {Limit.USELESS_FRAMES},
    ),
    "MadeYouReset": (
        each(lambda number: call(number) + frame(frames.WINDOW_UPDATE, 0, number, MAX_INCREMENT)),
        {Limit.USELESS_FRAMES},
    ),
    "PING": (
        flood(lambda numbers: frame(frames.PING, 0, 0, bytes(8)) * MANY),
        {Limit.USELESS_FRAMES},
    ),
    "PRIORITY": (
        flood(lambda numbers: frame(frames.PRIORITY, 0, 1, bytes(5)) * MANY),
        {Limit.USELESS_FRAMES},
    ),
    "PRIORITY of idle streams": (
        each(lambda number: frame(frames.PRIORITY, 0, number, bytes(5))),
        {Limit.USELESS_FRAMES},
    ),
    "unknown frames": (
        flood(lambda numbers: frame(0xFA, 0, 0, bytes(100)) * MANY),
        {Limit.USELESS_FRAMES},
    ),
    "SETTINGS": (flood(lambda numbers: SETTINGS * MANY), {Limit.USELESS_FRAMES}),
    "SETTINGS ACK": (
        flood(lambda numbers: frame(frames.SETTINGS, frames.ACK, 0) * MANY),
        {Limit.USELESS_FRAMES},
    ),
    "empty DATA": (
        each_held(lambda number: frame(frames.DATA, 0, number) * MANY),
        {Limit.USELESS_FRAMES},
    ),
    "DATA that was refused": (
        flood(lambda numbers: refused(next(numbers)) + frame(frames.DATA, 0, 1, b"x") * MANY),
        {Limit.USELESS_FRAMES},
    ),
    "shreds": (flood(lambda numbers: shredded(next(numbers))), {Limit.USELESS_FRAMES}),
    "window updates": (
        flood(lambda numbers: frame(frames.WINDOW_UPDATE, 0, 0, ONE) * MANY),
        {Limit.USELESS_FRAMES},
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_counted_and_bounded_and_touches_nobody_else(
    attacked: AttackedProxy, name
):
    attack, limits = ATTACKS[name]
    result = await attacked.under(attack)
    assert limits <= result.hits.keys(), result
    assert result.grown_bytes < (HELD_BOUND_BYTES if name == "streams" else BOUND_BYTES), result
    assert result.honest_calls, result
    assert result.connections > 2, "the attackers were cut, and came again"


@pytest.mark.parametrize("attack", [silent, begun], ids=["nothing", "half a preface"])
async def test_slow_greetings_hold_a_bounded_number_of_places(attacked: AttackedProxy, attack):
    result = await attacked.under(attack, attackers=300)
    assert result.hits.keys() >= {RelayLimit.CONNECTIONS_PER_ADDRESS}, result
    assert result.displaced.keys() == {RelayLimit.CONNECTIONS_PER_ADDRESS}, result
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result


@pytest.mark.parametrize("attack", [silent, begun], ids=["nothing", "half a preface"])
async def test_slow_greetings_are_cut(attacked: AttackedProxy, attack):
    result = await attacked.under(attack, attackers=200, seconds=3.0)
    assert result.hits.keys() == {RelayLimit.HANDSHAKE}, result
    assert result.connections > 200, "the clients that were cut connect again"


async def test_clients_that_do_not_read_hold_bounded_memory(attacked: AttackedProxy):
    result = await attacked.under(never_reading, attackers=8, seconds=3.0)
    assert RelayLimit.BUFFERED in result.hits, result
    assert result.grown_bytes < BUFFERED_BOUND_BYTES, result
    assert result.honest_calls, result


@pytest.mark.parametrize(
    "attack", [large_headers(held), large_headers(unknown)], ids=["held", "refused late"]
)
async def test_the_headers_of_open_calls_hold_bounded_memory(attacked: AttackedProxy, attack):
    result = await attacked.under(attack, attackers=4, seconds=3.0)
    assert RelayLimit.BUFFERED in result.hits, result
    assert result.grown_bytes < HEADERS_BOUND_BYTES, result
    assert result.honest_calls, result


async def test_headers_that_come_again_hold_bounded_memory(attacked: AttackedProxy):
    result = await attacked.under(remembered_headers, attackers=40, seconds=3.0)
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result
    assert result.hits.keys() <= {RelayLimit.IDLE}, result


async def test_headers_that_are_begun_and_not_gone_on_with_hold_bounded_memory(
    attacked: AttackedProxy,
):
    result = await attacked.under(begun_headers, attackers=240, seconds=3.0)
    assert RelayLimit.BUFFERED in result.hits, result
    assert result.grown_bytes < BUFFERED_BOUND_BYTES, result
    assert result.honest_calls, result


async def test_a_client_that_asks_and_does_not_read_is_cut(attacked: AttackedProxy):
    result = await attacked.under(asking_and_not_reading, takes_little=True)
    assert Limit.UNREAD in result.hits, result
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result


async def test_connections_are_bounded_in_all_whoever_comes(attacked: AttackedProxy):
    result = await attacked.under(greeted, attackers=480, addresses=2)
    assert result.hits.keys() & {RelayLimit.CONNECTIONS, RelayLimit.CONNECTIONS_PER_ADDRESS} == {
        RelayLimit.CONNECTIONS
    }, result
    assert result.displaced.keys() == {RelayLimit.CONNECTIONS}, result
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result


async def test_idle_connections_are_ended_whatever_pings_come(attacked: AttackedProxy):
    result = await attacked.under(pinging, attackers=200, seconds=5.0)
    assert RelayLimit.IDLE in result.hits, result
    assert result.connections > 200, "the clients whose connections were ended connect again"
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result


async def test_old_connections_are_ended_whatever_calls_they_hold(short_lived: AttackedProxy):
    result = await short_lived.under(holding, attackers=200, seconds=5.0)
    assert result.hits.keys() >= {RelayLimit.AGE, RelayLimit.AGE_GRACE}, result
    assert result.connections > 200, "the clients whose connections were ended connect again"
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result


async def test_messages_that_say_they_are_huge_are_refused_by_their_length(attacked: AttackedProxy):
    attack = each(lambda number: held(number) + frame(frames.DATA, 0, number, OVERSIZED))
    result = await attacked.under(attack, are_cut=False)
    assert result.grown_bytes < BOUND_BYTES, result
    assert result.honest_calls, result
