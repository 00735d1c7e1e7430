"""The load counts what is right and nothing else: a figure of wrong answers is no figure."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hpack import Decoder, Encoder

from tests.bench.wire import frames
from tests.bench.wire.blocks import AnswerBlocks, RequestBlocks
from tests.bench.wire.echo import Echo
from tests.bench.wire.generator import Job, run_job

PAYLOAD = (b"x" * 256).hex()
CALLS = Job(
    *("calls", "127.0.0.1", 0, "/bench.Echo/Call"),
    connections=2,
    streams=4,
    seconds=0.05,
    authorization="cm9vdDpNaWx2dXM=",
    request=PAYLOAD,
    expected=PAYLOAD,
)
BULK = replace(CALLS, kind="unary", connections=1, message_bytes=3 * 2**20 + 5, seconds=0.2)


class Cutting(Echo):
    """Sends one byte less than it should."""

    def _answer(self, out, stream_id, body):
        super()._answer(out, stream_id, body[:-1])


class Refusing(Echo):
    """Answers 200 and UNAVAILABLE, which counts as success for those who read HTTP only."""

    def _answer(self, out, stream_id, body):
        block = Encoder().encode([(":status", "200"), ("grpc-status", "14")])
        out.append(frames.frame(frames.HEADERS, 5, stream_id, block))


class Garbling(Echo):
    """One bit of what passes is another."""

    def _go_on(self, out, stream_id, body, *, ended):
        super()._go_on(out, stream_id, body[:-1] + bytes((body[-1] ^ 1,)), ended=ended)


@asynccontextmanager
async def serving(protocol):
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def outcome(job, protocol):
    async def go():
        pass

    async with serving(protocol) as port, asyncio.timeout(20):
        return await run_job(replace(job, port=port), go)


async def test_right_answers_are_counted():
    result = await outcome(CALLS, Echo)
    assert result.calls >= 8
    assert 0 < result.p50_us <= result.p99_us


@pytest.mark.parametrize("protocol", [Cutting, Refusing])
async def test_a_wrong_answer_ends_the_job(protocol):
    with pytest.raises(AssertionError, match=r"answer"):
        await outcome(CALLS, protocol)


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_large_messages_come_back_whole(kind):
    result = await outcome(replace(BULK, kind=kind), Echo)
    assert result.moved > 0
    assert result.moved % (BULK.message_bytes + 5) == 0


async def test_a_bit_that_changed_on_the_way_is_seen():
    with pytest.raises(AssertionError, match="not what was sent"):
        await outcome(BULK, Garbling)


def test_blocks_say_the_same_as_grpcio_and_no_two_are_alike():
    blocks = RequestBlocks(b"/a.B/C", b"localhost:1", b"secret", encrypted=False)
    decoder = Decoder()
    first, second, third = (
        dict(decoder.decode(block, raw=True))
        for block in (blocks.first, blocks.later % (1, 1), blocks.later % (2, 1))
    )
    unique = {b"client-request-id", b"client-request-unixmsec"}
    common = {name: value for name, value in first.items() if name not in unique}
    assert common[b":path"] == b"/a.B/C"
    assert common[b"authorization"] == b"secret"
    for later in (second, third):
        assert {name: value for name, value in later.items() if name not in unique} == common
    assert second[b"client-request-id"] != third[b"client-request-id"]


def test_a_block_that_depends_on_the_table_is_judged_anew_when_the_table_has_changed():
    answers, encoder = AnswerBlocks(), Encoder()
    good = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]
    answers.judge(encoder.encode(good), is_end=True)
    same = encoder.encode(good)
    answers.judge(same, is_end=True)
    assert same in answers.known
    answers.judge(encoder.encode([*good, ("x", "1"), ("y", "2")]), is_end=True)
    # The indices of the old block now name newer fields.
    with pytest.raises(AssertionError):
        answers.judge(same, is_end=True)
