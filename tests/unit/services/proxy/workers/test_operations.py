"""The report about workers of which some do not answer, over real sockets."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from vecguard.observability.health import Check, HealthReport
from vecguard.observability.operations import OperationsServer
from vecguard.proxy.workers.operations import WorkersReport
from vecguard.proxy.workers.reservation import reserved_port


@asynccontextmanager
async def worker(*, healthy=True):
    health, registry = HealthReport(), CollectorRegistry()
    health.register("logins", lambda: Check("logins", healthy, critical=True, message="so it is"))
    Gauge("waiting", "Jobs that wait.", registry=registry).set(7)
    async with OperationsServer("127.0.0.1", 0, health, registry) as server:
        yield server.port


@asynccontextmanager
async def confused_worker():
    """Answers every request with unreadable text."""

    async def answer(_request):
        return web.Response(text='{"checks": 1} {')

    app = web.Application()
    app.router.add_get("/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def nobody():
    with reserved_port("127.0.0.1", 0, settings="proxy.workers") as port:
        yield port


async def test_all_there_and_well_is_ready():
    async with worker() as one, worker() as two, WorkersReport([one, two]) as report:
        assert (await report.assess()).ready
        assert await report.is_alive()


async def test_one_that_is_not_well_is_named():
    async with worker() as one, worker(healthy=False) as two, WorkersReport([one, two]) as report:
        health = await report.assess()
        assert [check.message for check in health.failures] == ["worker 2: so it is"]
        assert await report.is_alive()


async def test_one_that_is_gone_is_not_ready_but_no_reason_to_start_all_anew(nobody):
    async with worker() as one, WorkersReport([one, nobody]) as report:
        health = await report.assess()
        assert [check.message for check in health.failures] == [
            "worker 2: not running; it is being replaced"
        ]
        assert await report.is_alive()


async def test_the_figures_of_those_that_are_there_are_told(nobody):
    async with worker() as one, WorkersReport([one, nobody]) as report:
        registry = await report.gather()
        assert registry.get_sample_value("waiting", {"worker": "1"}) == 7
        assert registry.get_sample_value("waiting", {"worker": "2"}) is None
        assert registry.get_sample_value("vecguard_worker_up", {"worker": "1"}) == 1
        assert registry.get_sample_value("vecguard_worker_up", {"worker": "2"}) == 0


async def test_one_that_talks_gibberish_spoils_nobody_elses_report():
    async with worker() as one, confused_worker() as two, WorkersReport([one, two]) as report:
        health = await report.assess()
        assert [check.message for check in health.failures] == ["worker 2: an invalid answer"]
        registry = await report.gather()
        assert registry.get_sample_value("waiting", {"worker": "1"}) == 7
        assert registry.get_sample_value("vecguard_worker_up", {"worker": "2"}) == 0
