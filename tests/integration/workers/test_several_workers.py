"""A proxy of several processes on one port, over real sockets and signals."""

import asyncio
import json
import os
import re
import signal
import socket

import grpc
import pytest

from tests.support.waiting import eventually
from tests.support.worker_processes import alive, served_by

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = 3
GATED = "/test.Echo/Gated"


async def test_connections_spread_over_all_workers(workers):
    opened = [socket.create_connection(("127.0.0.1", workers.port)) for _ in range(200)]
    try:

        async def all_accepted():
            return sum(len(served_by(pid, workers.port)) for pid in workers.pids) >= 200

        await eventually(all_accepted)
        shares = [len(served_by(pid, workers.port)) for pid in workers.pids]
        assert len(shares) == WORKERS
        # 67 are expected of each; less than 20 would come once in 10^14 runs.
        assert min(shares) >= 20, shares
    finally:
        for each in opened:
            each.close()


async def test_every_worker_refuses_the_old_password_after_an_acknowledged_change(workers):
    clients = await workers.one_client_each()
    await clients[0].create_user("alice", "first password")
    old, new = ("alice", "first password"), ("alice", "second password")
    assert [await each.code(old) for each in clients] == [grpc.StatusCode.OK] * WORKERS

    await clients[0].change_password("alice", "first password", "second password")

    after = await asyncio.gather(*(each.code(old) for each in clients))
    assert after == [grpc.StatusCode.UNAUTHENTICATED] * WORKERS
    assert [await each.code(new) for each in clients] == [grpc.StatusCode.OK] * WORKERS


async def test_the_metrics_of_every_worker_are_on_the_one_port(workers):
    status, text = await workers.ask("/metrics")
    assert status == 200
    for worker in ("1", "2", "3"):
        assert f'vecguard_worker_up{{worker="{worker}"}} 1.0' in text
        assert f'process_open_fds{{worker="{worker}"}}' in text
    assert text.count("# TYPE process_open_fds gauge") == 1


async def test_the_page_shows_every_worker_and_the_logins_of_all(workers):
    for client in await workers.one_client_each():
        assert await client.code(("nobody", "wrong")) is grpc.StatusCode.UNAUTHENTICATED

    async def all_are_shown():
        status, page = await workers.ask("/")
        assert status == 200
        refused = re.search(
            r"wrong_credentials.*?number[^>]*>[\d.]+<.*?number[^>]*>([\d,]+)<", page
        )
        shown = [f"worker {number}" in page for number in range(1, WORKERS + 1)]
        return all(shown) and refused is not None and int(refused[1]) >= WORKERS

    await eventually(all_are_shown)
    report = json.loads((await workers.ask("/healthz"))[1])
    assert [each["worker"] for each in report["details"]["proxies"]] == [1, 2, 3]
    assert "details" not in json.loads((await workers.ask("/readyz"))[1])


async def test_a_worker_that_hangs_makes_the_pod_neither_ready_nor_alive(workers):
    hung = workers.pids[1]
    os.kill(hung, signal.SIGSTOP)
    try:
        status, text = await workers.ask("/healthz")
        assert status == 503
        report = json.loads(text)
        assert report["failures"] == [f"workers: {report['checks']['workers']['message']}"]
        assert "no answer in time" in report["checks"]["workers"]["message"]
        assert report["checks"]["logins"]["healthy"]
        assert (await workers.ask("/livez"))[0] == 503
    finally:
        os.kill(hung, signal.SIGCONT)
    await eventually(workers.ready)
    assert await workers.ask("/livez") == (200, "ok")


async def test_a_killed_worker_is_replaced_and_the_others_notice_nothing(workers):
    clients = await workers.one_client_each()
    before, first = set(workers.pids), _arrived(workers)
    calls = [client.started(GATED, b"held") for client in clients]
    await workers.backend.call_number(first + WORKERS - 1)
    victim, *others = clients

    os.kill(victim.worker, signal.SIGKILL)

    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await calls[0]
    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE

    # Its client comes back by itself, to any worker. The kernel may end its connection
    # before the port of the same process: then the next one is lost as well.
    async def it_is_served_again():
        try:
            return await victim.call("/test.Echo/Unary", b"again") == b"again"
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    await eventually(it_is_served_again)
    workers.backend.gate.set()
    assert [await call for call in calls[1:]] == [b"held"] * len(others)
    await eventually(workers.ready)
    assert len(set(workers.pids) - before) == 1
    assert set(workers.pids) >= {client.worker for client in others}


async def test_sigterm_lets_a_long_call_in_each_worker_finish(workers):
    clients = await workers.one_client_each()
    first = _arrived(workers)
    calls = [client.started(GATED, b"held") for client in clients]
    await workers.backend.call_number(first + WORKERS - 1)
    pids = workers.all_pids

    os.kill(workers.proxy.pid, signal.SIGTERM)

    async def nobody_listens():
        return not workers.pids

    await eventually(nobody_listens)
    assert all(alive(pid) for pid in pids)
    workers.backend.gate.set()
    assert [await call for call in calls] == [b"held"] * WORKERS
    assert await workers.proxy.wait() == 0
    assert not any(alive(pid) for pid in pids)


async def test_no_worker_outlives_a_killed_supervisor(workers):
    client = await workers.connect()
    pids = workers.all_pids
    assert len(pids) == WORKERS + 1

    os.kill(workers.proxy.pid, signal.SIGKILL)

    async def all_gone():
        return not any(alive(pid) for pid in pids)

    await eventually(all_gone)
    assert client.worker in pids


def _arrived(workers) -> int:
    return len(workers.backend.calls)
