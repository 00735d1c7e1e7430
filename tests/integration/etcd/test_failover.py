import asyncio
import time

import pytest

from deploy.local.ports import free_ports
from tests.support.etcd import running_etcd
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.etcd import (
    ClusterMismatchError,
    EtcdClient,
    EtcdOutcomeUnknownError,
    EtcdUnavailableError,
    Put,
)


def dead_endpoint() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


async def test_reads_and_writes_pass_by_a_dead_endpoint(etcd, prefix):
    async with EtcdClient([dead_endpoint(), dead_endpoint(), etcd.endpoint]) as client:
        await client.txn([], [Put(prefix + b"k", b"v")])
        assert (await client.range(prefix + b"k")).count == 1


async def test_names_are_resolved(etcd, prefix):
    async with EtcdClient([f"localhost:{etcd.ports.client}"]) as client:
        assert (await client.range(prefix)).count == 0


async def test_when_no_endpoint_serves_the_error_names_all_of_them_at_the_deadline():
    dead = [dead_endpoint(), dead_endpoint()]
    async with EtcdClient(dead, request_timeout_seconds=1.0) as client:
        began = time.monotonic()
        with pytest.raises(EtcdUnavailableError) as raised:
            await client.txn([], [Put(b"k", b"v")])
        took = time.monotonic() - began
    assert 0.3 < took < 30
    assert all(endpoint in raised.value.message for endpoint in dead)


async def test_a_single_call_can_have_a_shorter_deadline(etcd):
    async with TcpRelay(etcd.ports.client) as relay, EtcdClient([relay.endpoint]) as client:
        await client.range(b"k")
        relay.frozen = True
        with pytest.raises(EtcdUnavailableError, match=r"0\.2 s"):
            await client.range(b"k", timeout_seconds=0.2)


async def test_etcd_that_comes_back_within_the_deadline_is_used(own_etcd, prefix):
    async with EtcdClient([own_etcd.endpoint], request_timeout_seconds=30) as client:
        await client.range(prefix)
        await asyncio.to_thread(own_etcd.kill)
        async with asyncio.TaskGroup() as group:
            pending = group.create_task(client.range(prefix))
            group.create_task(asyncio.to_thread(own_etcd.restart))
        assert pending.result().count == 0


async def test_a_stopped_member_costs_a_read_a_part_of_its_deadline(etcd_cluster, prefix):
    async with EtcdClient(etcd_cluster.endpoints) as client:
        await client.range(prefix)
        etcd_cluster.members[0].pause()
        began = time.monotonic()
        assert (await client.range(prefix)).count == 0
        assert time.monotonic() - began < 7, "a third of ten seconds, and an election"
        began = time.monotonic()
        assert (await client.range(prefix)).count == 0
        assert time.monotonic() - began < 3, "the client stays where it was answered"


async def test_a_write_is_never_sent_to_a_member_that_was_stopped_before(etcd_cluster, prefix):
    etcd_cluster.members[0].pause()
    async with EtcdClient(etcd_cluster.endpoints, request_timeout_seconds=30) as client:
        await client.txn([], [Put(prefix + b"k", b"v")])


async def test_a_write_to_a_member_that_stops_has_an_unknown_outcome(etcd_cluster, prefix):
    async with EtcdClient(etcd_cluster.endpoints) as client:
        await client.range(prefix)
        etcd_cluster.members[0].pause()
        with pytest.raises(EtcdOutcomeUnknownError):
            await client.txn([], [Put(prefix + b"k", b"v")], timeout_seconds=2)
        # The next one goes elsewhere; an election may be under way if it was the leader.
        await client.txn([], [Put(prefix + b"k", b"v")], timeout_seconds=20)


async def test_a_member_without_a_leader_refuses_at_once_and_nothing_is_written(
    etcd_cluster, prefix
):
    alone = etcd_cluster.members[0]
    async with EtcdClient([alone.endpoint]) as client:
        await client.range(prefix)
        for member in etcd_cluster.members[1:]:
            await asyncio.to_thread(member.kill)

        async def no_leader() -> bool:
            return (await client.status()).leader == 0

        await eventually(no_leader)
        with pytest.raises(EtcdUnavailableError, match="no leader"):
            await client.txn([], [Put(prefix + b"k", b"v")], timeout_seconds=2)
        with pytest.raises(EtcdUnavailableError, match="no leader"):
            await client.lease_grant(60, timeout_seconds=2)
        with pytest.raises(EtcdUnavailableError, match="no leader"):
            await client.range(prefix, timeout_seconds=2)


async def test_another_cluster_is_refused_before_anything_is_written_to_it(
    own_etcd, tmp_path, prefix
):
    with running_etcd(tmp_path / "other") as other:
        async with (
            EtcdClient([own_etcd.endpoint, other.endpoint]) as client,
            EtcdClient([other.endpoint]) as witness,
        ):
            await client.range(prefix)
            await asyncio.to_thread(own_etcd.kill)
            with pytest.raises(ClusterMismatchError, match=other.endpoint):
                await client.txn([], [Put(prefix + b"k", b"v")])
            assert (await witness.range(prefix, prefix=True)).count == 0


async def test_many_tasks_share_one_connection_and_one_failover(etcd, prefix):
    async with TcpRelay(etcd.ports.client) as silent, TcpRelay(etcd.ports.client) as relay:
        silent.frozen = True
        async with EtcdClient([silent.endpoint, relay.endpoint]) as client:
            began = time.monotonic()
            results = await asyncio.gather(
                *(client.txn([], [Put(prefix + str(n).encode(), b"v")]) for n in range(100))
            )
            assert time.monotonic() - began < 30, "they wait together, not one after the other"
        assert len({result.revision for result in results}) == 100
        assert (silent.connections, relay.connections) == (1, 1)


async def test_a_cancelled_call_ends_at_once_and_stays_cancelled(etcd):
    async with TcpRelay(etcd.ports.client) as relay, EtcdClient([relay.endpoint]) as client:
        await client.range(b"k")
        relay.frozen = True
        call = asyncio.ensure_future(client.range(b"asked for", timeout_seconds=60))
        await relay.heard(b"asked for")
        call.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_a_broken_call_leaves_no_trace_in_the_task_that_made_it(etcd, prefix):
    """grpclib cancels the calling task to wake it; that must stay inside of the client."""
    async with TcpRelay(etcd.ports.client) as relay, EtcdClient([relay.endpoint]) as client:
        await client.range(prefix)
        relay.swallow_answers = True
        call = asyncio.ensure_future(cancellations_after_failure(client, prefix))
        await relay.heard(prefix + b"k")
        relay.cut()
        assert await call == 0


async def cancellations_after_failure(client: EtcdClient, prefix: bytes) -> int:
    with pytest.raises(EtcdOutcomeUnknownError):
        await client.txn([], [Put(prefix + b"k", b"v")])
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_a_closed_client_says_so(etcd):
    client = EtcdClient([etcd.endpoint])
    await client.range(b"k")
    await client.close()
    with pytest.raises(EtcdUnavailableError, match="closed"):
        await client.range(b"k")


async def test_closing_ends_calls_that_are_under_way(etcd):
    async with TcpRelay(etcd.ports.client) as relay:
        client = EtcdClient([relay.endpoint])
        await client.range(b"k")
        relay.frozen = True
        call = asyncio.ensure_future(client.range(b"asked for", timeout_seconds=60))
        await relay.heard(b"asked for")
        await client.close()
        async with asyncio.timeout(20):
            with pytest.raises(EtcdUnavailableError):
                await call
