"""From one root coord to the next: what is owed to the leases of the one before, and when."""

import asyncio

import pytest

from tests.integration.root_coord.active_terms import ELECTION_TTL_SECONDS, leading
from tests.integration.root_coord.harness import running_proxy
from tests.support.credentials import hashed
from tests.support.logs import every_log_line
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.errors import UnavailableError
from vecguard.etcd import Delete
from vecguard.observability.health import HealthReport
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.health_checks import register_health_checks
from vecguard.root_coord.role import Role

FIRST, SECOND = hashed("first1"), hashed("second2")


async def test_a_shorter_lease_in_the_settings_does_not_shorten_those_that_run(own_etcd):
    """A proxy that is cut off holds a lease of the old length, which cannot be taken back."""
    async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=5.0) as before:
        await before.create("bob", FIRST)
        async with (
            TcpRelay(before.address.port) as relay,
            running_proxy(Address.parse(relay.endpoint)) as proxy,
        ):
            await proxy.login("bob", "first1")
            relay.frozen = True
            await before.active_term.step_down(1.0)
            async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=2.4) as successor:
                await successor.update("bob", SECOND)
                with pytest.raises(UnavailableError):
                    await proxy.login("bob", "first1")


async def test_the_wait_for_the_leases_of_one_that_was_killed_is_told(own_etcd):
    async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=2.4):
        pass
    with every_log_line() as logs:
        async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=2.4) as successor:
            role, health = Role(), HealthReport()
            role.assume(successor.active_term)
            register_health_checks(role, health)
            (warning,) = health.evaluate().warnings
            assert "every change waits for up to" in warning.message
            assert health.evaluate().ready
            await successor.create("bob", FIRST)
            assert health.evaluate().warnings == ()
    (awaits,) = [line for line in logs if line["event"] == "awaits_earlier_leases"]
    assert awaits["seconds"] > 2.4
    (waits,) = [line for line in logs if line["event"] == "change_waits"]
    assert (waits["proxies"], waits["earlier_leases"]) == ([], True)


async def test_preparing_for_longer_than_the_election_lasts_costs_no_leadership(own_etcd):
    """A first hash of high cost on a slow machine; otherwise no root coord would ever lead."""

    async def prepare(leadership):
        first_end = leadership._valid_until

        async def well_past_the_first_end():
            return boot_clock() > first_end + ELECTION_TTL_SECONDS

        await eventually(well_past_the_first_end)

    async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=2.4, prepare=prepare) as leader:
        assert leader.active_term.leadership.is_valid()
        assert (await leader.create("bob", FIRST)).revision


async def test_a_root_coord_whose_leader_key_was_deleted_by_hand_ends_its_term(own_etcd):
    async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=2.4) as before:
        leadership = before.active_term.leadership
        await before.client.txn([], [Delete(leadership.fence.key)])
        async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=2.4):
            await asyncio.wait([before.running], timeout=20)
            assert before.running.done()
            assert before.running.exception().subgroup(LeadershipLostError)
