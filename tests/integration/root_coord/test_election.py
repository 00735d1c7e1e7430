import asyncio

import pytest

from tests.support.etcd_store import fenced_store
from tests.support.waiting import eventually
from vecguard.boot_clock import boot_clock
from vecguard.clock_margin import ClockMargin
from vecguard.etcd import Delete, EtcdClient, Put
from vecguard.milvus_layout import Keys
from vecguard.passwords import hash_password
from vecguard.root_coord.election import Election, ElectionKeys
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.secret import Secret

TTL_SECONDS = 2.0
LEASE_TTL_SECONDS = 1.5
HASH = hash_password(Secret("password"), 4)


class Candidate:
    """One root coord as far as it stands for election."""

    def __init__(self, client, root, name, lease_ttl_seconds=LEASE_TTL_SECONDS):
        self.client = client
        self.keys = ElectionKeys.of(Keys.of(root, "meta"))
        self.leaders = []
        self.failures = []
        self.election = Election(
            client,
            self.keys,
            address=name,
            ttl_seconds=TTL_SECONDS,
            lease_ttl_seconds=lease_ttl_seconds,
            margin=ClockMargin(0.01, 0.1),
            clock=boot_clock,
            observer=self,
        )

    def leader_seen(self, address):
        self.leaders.append(address)

    def election_failed(self, message):
        self.failures.append(message)

    async def elected(self):
        async with asyncio.timeout(20):
            return await self.election.campaign()


@pytest.fixture
async def candidates(own_etcd, request):
    async with (
        EtcdClient([own_etcd.endpoint]) as one,
        EtcdClient([own_etcd.endpoint]) as two,
    ):
        yield [Candidate(one, request.node.name, "one"), Candidate(two, request.node.name, "two")]


async def test_the_very_first_leader_need_not_wait_for_leases(candidates):
    leadership = await candidates[0].elected()
    assert leadership.clean
    assert leadership.is_valid()


async def test_a_second_one_stands_by_and_knows_the_leader(candidates):
    await candidates[0].elected()
    standing_by = asyncio.create_task(candidates[1].election.campaign())

    async def seen():
        return bool(candidates[1].leaders)

    await eventually(seen, timeout_seconds=10)
    assert candidates[1].leaders[0] == "one"
    assert not standing_by.done()
    standing_by.cancel()
    await asyncio.wait([standing_by])


async def test_a_standby_hears_that_etcd_does_not_answer(candidates, own_etcd):
    first = await candidates[0].elected()
    standing_by = asyncio.create_task(candidates[1].election.campaign())

    async def seen():
        return "one" in candidates[1].leaders

    async def failed():
        return bool(candidates[1].failures)

    await eventually(seen, timeout_seconds=10)
    own_etcd.pause()
    try:
        await eventually(failed, timeout_seconds=30)
    finally:
        own_etcd.resume()
    assert "etcd" in candidates[1].failures[0]
    assert not first.is_valid()
    async with asyncio.timeout(30):
        await standing_by


async def test_a_successor_of_a_good_resignation_is_elected_at_once_and_clean(candidates):
    first = await candidates[0].elected()
    successor = asyncio.create_task(candidates[1].elected())
    await first.resign(in_good_order=True)
    second = await successor
    assert second.clean
    assert second.term > first.term
    assert not first.is_valid()


async def test_a_successor_of_a_crash_is_elected_when_the_lease_is_over_and_not_clean(candidates):
    first = await candidates[0].elected()
    second = await candidates[1].elected()
    assert not second.clean
    # By its own clock the first one stopped before the second could be elected.
    assert not first.is_valid()


async def test_good_order_is_worth_nothing_after_another_leader_has_crashed(candidates):
    first = await candidates[0].elected()
    await first.resign(in_good_order=True)
    await candidates[1].elected()
    third = await candidates[0].elected()
    assert not third.clean


async def test_a_successor_knows_the_longest_lease_that_may_still_run(candidates, request):
    longer, usual, shorter = (
        Candidate(candidates[0].client, request.node.name, f"{ttl}", ttl)
        for ttl in (60.25, LEASE_TTL_SECONDS, 0.5)
    )
    first = await longer.elected()
    assert first.earlier_lease_seconds is None
    await first.resign(in_good_order=False)
    second = await shorter.elected()
    assert second.earlier_lease_seconds == 60.25
    await second.resign(in_good_order=False)
    third = await usual.elected()
    assert third.earlier_lease_seconds == 60.25, "nobody has seen its end yet"
    await third.resign(in_good_order=True)
    fourth = await shorter.elected()
    assert fourth.earlier_lease_seconds is None
    await fourth.resign(in_good_order=False)
    assert (await usual.elected()).earlier_lease_seconds == 0.5


async def test_a_record_without_a_length_stands_for_leases_of_our_own_length(candidates):
    one = candidates[0]
    await one.client.txn([], [Put(one.keys.leases, b"")])
    assert (await one.elected()).earlier_lease_seconds == LEASE_TTL_SECONDS


async def test_a_leader_that_keeps_its_lease_alive_stays_the_leader(candidates):
    leadership = await candidates[0].elected()
    holding = asyncio.create_task(leadership.hold())
    rival = asyncio.create_task(candidates[1].election.campaign())
    done, _ = await asyncio.wait([holding, rival], timeout=2 * TTL_SECONDS)
    assert not done
    assert leadership.is_valid()
    for task in (holding, rival):
        task.cancel()
    await asyncio.wait([holding, rival])


async def test_a_leader_whose_lease_was_taken_away_notices(candidates):
    leadership = await candidates[0].elected()
    await candidates[0].client.lease_revoke(leadership._lease_id)
    async with asyncio.timeout(10):
        with pytest.raises(LeadershipLostError):
            await leadership.hold()


async def test_a_leader_that_loses_touch_with_etcd_stops_by_its_own_clock(candidates, own_etcd):
    leadership = await candidates[0].elected()
    own_etcd.pause()
    try:
        async with asyncio.timeout(20):
            with pytest.raises(LeadershipLostError):
                await leadership.hold()
        assert not leadership.is_valid()
    finally:
        own_etcd.resume()


async def test_a_deposed_leader_cannot_write(candidates, request):
    leadership = await candidates[0].elected()
    keys = Keys.of(request.node.name, "meta")
    store = fenced_store(candidates[0].client, keys, leadership.fence)
    assert (await store.create("bob", HASH, "", user_limit=9)).applied
    await candidates[1].client.txn([], [Delete(candidates[1].keys.leader)])
    await candidates[1].elected()
    for change in (
        store.create("eve", HASH, "", user_limit=9),
        store.update("bob", expected_revision=None, password=HASH, description="x"),
        store.delete("bob"),
    ):
        with pytest.raises(LeadershipLostError):
            await change
    assert [each.username for each in (await store.list_all()).value] == ["bob"]
