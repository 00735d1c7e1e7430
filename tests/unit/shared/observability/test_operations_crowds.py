"""The operations port when more connect than have a reason to, over real sockets."""

import asyncio
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tests.support.logs import every_log_line
from tests.support.waiting import eventually
from vecguard.observability import timed_connection
from vecguard.observability.exposition import Exposition
from vecguard.observability.health import HealthReport
from vecguard.observability.operations import MAX_CONNECTIONS, OperationsServer

DEADLINE = 10.0
HALF = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
WHOLE = HALF + b"\r\n"


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def server(registry):
    async with OperationsServer("127.0.0.1", 0, HealthReport(), registry) as server:
        yield server


@asynccontextmanager
async def connection(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def half_requests(server, count, said=HALF):
    loop = asyncio.get_running_loop()
    sockets = []
    try:
        for _ in range(count):
            sockets.append(each := socket.socket())
            each.setblocking(False)
            await loop.sock_connect(each, ("127.0.0.1", server.port))
            await loop.sock_sendall(each, said)
            await asyncio.sleep(0)
        yield sockets
    finally:
        for each in sockets:
            each.close()


def is_open(each):
    try:
        return each.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


async def probe(server):
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with (
        aiohttp.ClientSession(timeout=timeout) as client,
        client.get(f"http://127.0.0.1:{server.port}/livez") as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "ok")


async def answered(reader):
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
    assert head.startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(2) == b"ok"


@pytest.mark.parametrize("said", [b"", HALF, WHOLE], ids=["nothing", "half", "whole"])
async def test_few_connections_are_held_and_a_probe_is_answered(server, said):
    with every_log_line() as lines:
        async with half_requests(server, 500, said) as sockets:
            await probe(server)

            async def the_oldest_have_gone() -> bool:
                return sum(map(is_open, sockets)) <= MAX_CONNECTIONS

            if said != WHOLE:
                await eventually(the_oldest_have_gone)
                assert not is_open(sockets[0])
                assert is_open(sockets[-1])
    (line,) = (line for line in lines if line["event"] == "inner_connections_full")
    assert (line["port"], line["newcomer"]) == ("operations", "served")


async def test_a_connection_that_has_asked_outlives_those_that_have_not(server):
    async with connection(server) as (reader, writer):
        writer.write(WHOLE)
        await answered(reader)
        async with half_requests(server, 2 * MAX_CONNECTIONS):
            writer.write(WHOLE)
            await answered(reader)


@pytest.mark.parametrize("said", [b"", HALF, WHOLE + HALF], ids=["nothing", "half", "second"])
async def test_the_head_of_a_request_has_its_time_and_no_more(server, said, monkeypatch):
    monkeypatch.setattr(timed_connection, "_HEAD_SECONDS", 0.2)
    async with connection(server) as (reader, writer):
        writer.write(said)
        clock = asyncio.get_running_loop().time
        until = clock() + DEADLINE
        while not reader.at_eof() and clock() < until:
            try:
                if said:
                    writer.write(b"X: y\r\n")  # never the end
                await asyncio.wait_for(reader.read(4096), 0.05)
            except TimeoutError:
                pass
            except ConnectionError:
                break
        assert clock() < until


async def test_an_idle_connection_is_closed(server, monkeypatch):
    monkeypatch.setattr(timed_connection, "IDLE_SECONDS", 0.2)
    async with connection(server) as (reader, writer):
        writer.write(WHOLE)
        await answered(reader)
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b""


async def test_an_answer_that_is_not_read_holds_no_place_for_long(server, registry, monkeypatch):
    monkeypatch.setattr(timed_connection, "_ANSWER_SECONDS", 0.2)
    large = Counter("large", "x" * 2**23, registry=registry)
    large.inc()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", server.port))
        await loop.sock_sendall(slow, WHOLE.replace(b"/livez", b"/metrics"))

        async def it_was_cut() -> bool:
            return not server._connections

        async def it_was_there() -> bool:
            return bool(server._connections)

        await eventually(it_was_there)
        await eventually(it_was_cut)


# The exposition.


class Counting(Collector):
    """Many metrics; says how often they were collected, and whether the loop had its turns."""

    def __init__(self, count=20):
        self.collected = 0
        self.count = count

    def collect(self):
        self.collected += 1
        for number in range(self.count):
            yield GaugeMetricFamily(f"gauge_{number}", "A gauge.", number)
        labelled = CounterMetricFamily("many", "With many\nseries.", labels=("name",))
        for number in range(1000):
            labelled.add_metric((f'"{number}\\',), number)
        yield labelled


@pytest.fixture
def full(registry):
    counting = Counting()
    registry.register(counting)
    histogram = Histogram("seconds", "A histogram.", ("kind",), registry=registry)
    for number in range(30):
        histogram.labels(str(number)).observe(number)
    Counter("plain", "A counter.", registry=registry).inc()
    return registry, counting


ACCEPTED = (
    "",
    "text/plain; version=0.0.4",
    "text/plain; version=1.0.0; escaping=allow-utf-8",
    "application/openmetrics-text; version=1.0.0",
    "application/openmetrics-text; version=0.0.1",
)


def exposition(registry):
    async def gather():
        return registry

    return Exposition(gather)


@pytest.mark.parametrize("accept", ACCEPTED)
async def test_what_is_made_in_steps_is_the_same(full, accept):
    registry, _ = full
    encode, content_type = choose_encoder(accept)
    assert await exposition(registry).text(encode, content_type) == encode(registry)


async def test_the_loop_has_its_turn_between_the_steps(full):
    registry, counting = full
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await exposition(registry).text(generate_latest, "text/plain")
    task.cancel()
    assert turns > counting.count + 10


async def test_scrapes_at_the_same_time_share_one_answer(full):
    registry, counting = full
    counting.collected = 0
    shown = exposition(registry)
    answers = await asyncio.gather(*(shown.text(generate_latest, "plain") for _ in range(50)))
    assert counting.collected == 1
    assert len(set(answers)) == 1
    await shown.text(generate_latest, "plain")
    assert counting.collected == 2


async def test_a_scrape_that_is_given_up_leaves_the_others_theirs(full):
    registry, _ = full
    shown = exposition(registry)
    first = asyncio.create_task(shown.text(generate_latest, "plain"))
    second = asyncio.create_task(shown.text(generate_latest, "plain"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == generate_latest(registry)


async def test_a_failure_is_every_waiting_ones_and_the_next_begins_afresh(full):
    registry, _ = full
    failing = True

    async def gather():
        if failing:
            raise RuntimeError("by the test")
        return registry

    shown = Exposition(gather)
    failed = await asyncio.gather(
        *(shown.text(generate_latest, "plain") for _ in range(2)), return_exceptions=True
    )
    assert [str(error) for error in failed] == ["by the test"] * 2
    failing = False
    assert await shown.text(generate_latest, "plain") == generate_latest(registry)
