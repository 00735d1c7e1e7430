import asyncio

import pytest

from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.errors import OutcomeUnknownError
from vecguard.etcd import (
    Compare,
    EtcdClient,
    EtcdOutcomeUnknownError,
    EtcdUnavailableError,
    Get,
    Put,
)
from vecguard.generated import etcdserverpb as pb


async def test_a_write_whose_answer_is_lost_is_applied_once_and_reported_as_unknown(
    etcd, client, prefix
):
    key = prefix + b"k"
    async with (
        TcpRelay(etcd.ports.client) as first,
        TcpRelay(etcd.ports.client) as second,
        EtcdClient([first.endpoint, second.endpoint]) as cut,
    ):
        await cut.range(key)
        first.swallow_answers = True
        write = asyncio.ensure_future(cut.txn([], [Put(key, b"v")]))

        async def applied() -> bool:
            return (await client.range(key)).count == 1

        await eventually(applied)
        first.cut()
        with pytest.raises(EtcdOutcomeUnknownError) as raised:
            await write
    assert isinstance(raised.value, OutcomeUnknownError)
    assert "outcome unknown, safe to repeat" in raised.value.message
    assert first.endpoint in raised.value.message
    (kv,) = (await client.range(key)).kvs
    assert kv.version == 1, "it was not sent again to the other endpoint"
    assert second.connections == 0


async def test_repeating_a_guarded_write_of_unknown_outcome_tells_what_happened(
    etcd, client, prefix
):
    key = prefix + b"k"
    create = [Compare.create_revision(key, "==", 0)]
    async with TcpRelay(etcd.ports.client) as relay, EtcdClient([relay.endpoint]) as cut:
        await cut.range(key)
        relay.swallow_answers = True
        write = asyncio.ensure_future(cut.txn(create, [Put(key, b"mine")]))

        async def applied() -> bool:
            return (await client.range(key)).count == 1

        await eventually(applied)
        relay.cut()
        with pytest.raises(EtcdOutcomeUnknownError):
            await write
        relay.swallow_answers = False
        again = await cut.txn(create, [Put(key, b"mine")], [Get(key)])
    assert not again.succeeded


async def test_a_lease_whose_grant_is_lost_is_reported_as_unknown(etcd):
    async with TcpRelay(etcd.ports.client) as relay, EtcdClient([relay.endpoint]) as cut:
        await cut.range(b"k")
        relay.swallow_answers = True
        with pytest.raises(EtcdOutcomeUnknownError):
            await cut.lease_grant(60, timeout_seconds=0.5)


@pytest.mark.parametrize("call", ["range", "txn", "keep_alive", "revoke"])
async def test_what_is_safe_to_repeat_is_repeated_when_its_answer_is_lost(
    etcd, client, prefix, call
):
    grant = await client.lease_grant(60)
    lease_words = bytes(pb.LeaseRevokeRequest(id=grant.id))
    async with (
        TcpRelay(etcd.ports.client) as first,
        TcpRelay(etcd.ports.client) as second,
        EtcdClient([first.endpoint, second.endpoint]) as cut,
    ):
        calls = {
            "range": lambda: cut.range(prefix),
            "txn": lambda: cut.txn([], [Get(prefix)]),
            "keep_alive": lambda: cut.lease_keep_alive_once(grant.id),
            "revoke": lambda: cut.lease_revoke(grant.id),
        }
        await cut.range(prefix)
        first.swallow_answers = True
        pending = asyncio.ensure_future(calls[call]())
        # A lease's id is the first field of both requests.
        await first.heard(prefix if call in {"range", "txn"} else lease_words)
        first.cut()
        await pending
        assert second.connections == 1


async def test_a_write_that_was_never_sent_changed_nothing_and_says_so(own_etcd, prefix):
    async with EtcdClient([own_etcd.endpoint]) as client:
        await client.range(prefix)
        await asyncio.to_thread(own_etcd.kill)
        with pytest.raises(EtcdUnavailableError) as raised:
            await client.txn([], [Put(prefix + b"k", b"v")], timeout_seconds=1)
        assert not isinstance(raised.value, OutcomeUnknownError)
