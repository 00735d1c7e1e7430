import asyncio

import pytest
from prometheus_client import CollectorRegistry

from tests.integration.root_coord.harness import SessionEnd
from vecguard.errors import UnavailableError
from vecguard.etcd import EtcdClient
from vecguard.passwords import hash_password
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.role import Role
from vecguard.root_coord.role_collector import RoleCollector
from vecguard.secret import Secret

HASH = hash_password(Secret("password"), 4)


async def test_changes_are_counted_by_what_was_asked_and_how_it_ended(harness):
    await harness.create("bob", HASH)
    await harness.create("bob", hash_password(Secret("another"), 4))

    def changes(outcome):
        return harness.registry.get_sample_value(
            "vecguard_credential_changes_total", {"operation": "create", "outcome": outcome}
        )

    assert changes("applied") == 1
    assert changes("user_exists") == 1
    count = harness.registry.get_sample_value(
        "vecguard_credential_change_seconds_count", {"operation": "create"}
    )
    assert count == 2


async def test_the_wait_for_a_proxy_is_in_the_invalidation_latency(harness):
    async with SessionEnd(harness) as proxy:
        await proxy.open_with_lease()
        change = asyncio.create_task(harness.create("bob", HASH))
        notice = await proxy.receive()
        assert harness.hub.unacknowledged == 1
        assert harness.hub.leases == harness.hub.connected == 1
        assert harness.registry.get_sample_value("vecguard_invalidation_seconds_count") == 0
        await proxy.acknowledge(notice.sequence)
        await change
    assert harness.registry.get_sample_value("vecguard_invalidation_seconds_count") == 1
    assert harness.hub.unacknowledged == 0


async def test_requests_to_etcd_are_counted_by_outcome(etcd):
    registry = CollectorRegistry()
    metrics = RootCoordMetrics(registry)

    def requests(outcome):
        return registry.get_sample_value(
            "vecguard_etcd_requests_total", {"method": "Range", "outcome": outcome}
        )

    async with EtcdClient([etcd.endpoint], observe=metrics.etcd_asked) as client:
        await client.range(b"key")
    async with EtcdClient(
        ["127.0.0.1:1"], observe=metrics.etcd_asked, request_timeout_seconds=0.2
    ) as client:
        with pytest.raises(UnavailableError) as refusal:
            await client.range(b"key")
    assert requests("ok") == 1
    assert requests(refusal.value.reason) == 1


def test_a_standby_is_not_active_and_has_no_sessions():
    registry = CollectorRegistry()
    registry.register(RoleCollector(Role()))
    assert registry.get_sample_value("vecguard_root_coord_active") == 0
    assert registry.get_sample_value("vecguard_root_coord_sessions") == 0
    assert registry.get_sample_value("vecguard_root_lost") == 0
