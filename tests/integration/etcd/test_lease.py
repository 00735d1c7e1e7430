from tests.support.waiting import eventually
from vecguard.etcd import Put


async def test_a_lease_is_granted_and_kept_alive_with_its_keys(client, prefix):
    grant = await client.lease_grant(60)
    assert grant.ttl_seconds == 60
    await client.txn([], [Put(prefix + b"k", b"v", lease=grant.id)])
    assert await client.lease_keep_alive_once(grant.id) == 60
    (stored,) = (await client.range(prefix + b"k")).kvs
    assert stored.lease == grant.id


async def test_a_revoked_lease_takes_its_keys_along_and_has_no_time_left(client, prefix):
    grant = await client.lease_grant(60)
    await client.txn([], [Put(prefix + b"k", b"v", lease=grant.id)])
    await client.lease_revoke(grant.id)
    assert (await client.range(prefix + b"k")).kvs == ()
    assert await client.lease_keep_alive_once(grant.id) == 0


async def test_revoking_a_lease_that_is_gone_is_no_error(client):
    grant = await client.lease_grant(60)
    await client.lease_revoke(grant.id)
    await client.lease_revoke(grant.id)


async def test_a_lease_that_is_not_kept_alive_expires_with_its_keys(client, prefix):
    grant = await client.lease_grant(1)
    await client.txn([], [Put(prefix + b"k", b"v", lease=grant.id)])

    async def key_is_gone() -> bool:
        return (await client.range(prefix + b"k")).count == 0

    await eventually(key_is_gone)
    assert await client.lease_keep_alive_once(grant.id) == 0
