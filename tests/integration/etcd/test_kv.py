import asyncio

import pytest

from tests.support.etcd_administration import compact
from vecguard.etcd import (
    CompactedError,
    Compare,
    Delete,
    DeleteResult,
    EtcdClient,
    EtcdRequestError,
    Get,
    LeaseNotFoundError,
    Put,
    RangeResult,
)


async def put(client: EtcdClient, key: bytes, value: bytes = b"value") -> int:
    result = await client.txn([], [Put(key, value)])
    return result.revision


async def test_a_missing_key_is_an_empty_answer_with_the_stores_revision(client, prefix):
    revision = await put(client, prefix + b"other")
    result = await client.range(prefix + b"missing")
    assert result.kvs == ()
    assert result.count == 0
    assert result.revision >= revision


async def test_a_key_is_read_with_its_revisions_version_and_lease(client, prefix):
    grant = await client.lease_grant(60)
    created = await client.txn([], [Put(prefix + b"k", b"one")])
    changed = await client.txn([], [Put(prefix + b"k", b"two", lease=grant.id)])
    (kv,) = (await client.range(prefix + b"k")).kvs
    assert (kv.key, kv.value) == (prefix + b"k", b"two")
    assert kv.create_revision == created.revision
    assert kv.mod_revision == changed.revision
    assert kv.version == 2
    assert kv.lease == grant.id


async def test_values_of_any_bytes_come_back_unchanged(client, prefix):
    for value in (b"", bytes(range(256)), b"x" * 1_000_000):
        await put(client, prefix + b"k", value)
        assert (await client.range(prefix + b"k")).kvs[0].value == value


async def test_prefix_limit_and_range_end_choose_keys(client, prefix):
    for name in (b"a", b"b\xff", b"c", b"d"):
        await put(client, prefix + name)

    async def names(**arguments) -> list[bytes]:
        result = await client.range(**arguments)
        return [kv.key.removeprefix(prefix) for kv in result.kvs]

    assert await names(key=prefix, prefix=True) == [b"a", b"b\xff", b"c", b"d"]
    assert await names(key=prefix + b"b\xff", prefix=True) == [b"b\xff"]
    assert await names(key=prefix + b"b", range_end=prefix + b"d") == [b"b\xff", b"c"]
    limited = await client.range(prefix, prefix=True, limit=3)
    assert (len(limited.kvs), limited.count, limited.more) == (3, 4, True)


async def test_keys_only_and_count_only_leave_out_what_they_say(client, prefix):
    await put(client, prefix + b"k")
    keys = await client.range(prefix, prefix=True, keys_only=True)
    assert [(kv.key, kv.value) for kv in keys.kvs] == [(prefix + b"k", b"")]
    count = await client.range(prefix, prefix=True, count_only=True)
    assert (count.kvs, count.count) == ((), 1)


async def test_the_empty_prefix_means_every_key(client, prefix):
    await put(client, prefix + b"k")
    assert prefix + b"k" in {kv.key for kv in (await client.range(b"", prefix=True)).kvs}


async def test_an_empty_key_is_refused_before_it_is_sent(client):
    with pytest.raises(ValueError, match="empty"):
        await client.range(b"")
    with pytest.raises(ValueError, match="either prefix or range_end"):
        await client.range(b"a", prefix=True, range_end=b"b")


async def test_the_past_is_read_by_revision(client, prefix):
    before = await put(client, prefix + b"k", b"old")
    await put(client, prefix + b"k", b"new")
    assert (await client.range(prefix + b"k", revision=before)).kvs[0].value == b"old"


async def test_reading_a_compacted_revision_raises_compacted(own_etcd, prefix):
    async with EtcdClient([own_etcd.endpoint]) as client:
        before = await put(client, prefix + b"k", b"old")
        now = await put(client, prefix + b"k", b"new")
        await compact(own_etcd.endpoint, now)
        with pytest.raises(CompactedError):
            await client.range(prefix + b"k", revision=before)


async def test_each_kind_of_comparison_decides_a_transaction(client, prefix):
    key = prefix + b"k"
    await put(client, key, b"b")
    (kv,) = (await client.range(key)).kvs
    holding = [
        Compare.version(key, "==", 1),
        Compare.version(key, "!=", 2),
        Compare.create_revision(key, "==", kv.create_revision),
        Compare.mod_revision(key, "==", kv.mod_revision),
        Compare.mod_revision(key, ">", kv.mod_revision - 1),
        Compare.mod_revision(key, "<", kv.mod_revision + 1),
        Compare.create_revision(prefix + b"missing", "==", 0),
    ]
    failing = [
        Compare.version(key, "==", 0),
        Compare.create_revision(key, "==", 0),
        Compare.mod_revision(key, "!=", kv.mod_revision),
        Compare.mod_revision(prefix + b"missing", ">", 0),
    ]
    for compare in holding:
        assert (await client.txn([compare], [Get(key)])).succeeded, compare
    assert (await client.txn(holding, [Get(key)])).succeeded
    for compare in failing:
        assert not (await client.txn([compare], [Get(key)])).succeeded, compare
        assert not (await client.txn([*holding, compare], [Get(key)])).succeeded, compare


async def test_a_transaction_answers_each_operation_in_order(client, prefix):
    await put(client, prefix + b"x/1")
    await put(client, prefix + b"x/2")
    result = await client.txn(
        [],
        [
            Put(prefix + b"new", b"v"),
            Get(prefix + b"x/", prefix=True),
            Delete(prefix + b"x/", True),
        ],
    )
    _, read, deleted = result.responses
    assert isinstance(read, RangeResult)
    assert read.count == 2
    assert deleted == DeleteResult(2)
    (kv,) = (await client.range(prefix + b"new")).kvs
    assert kv.mod_revision == result.revision


async def test_a_failed_comparison_applies_the_other_branch(client, prefix):
    key = prefix + b"k"
    revision = await put(client, key, b"v")
    result = await client.txn([Compare.mod_revision(key, "==", 0)], [Put(key, b"w")], [Get(key)])
    assert not result.succeeded
    (read,) = result.responses
    assert isinstance(read, RangeResult)
    assert (read.kvs[0].value, read.kvs[0].mod_revision) == (b"v", revision)


async def test_of_many_concurrent_creations_exactly_one_succeeds(client, prefix):
    key = prefix + b"k"

    async def create(value: int) -> bool:
        result = await client.txn(
            [Compare.create_revision(key, "==", 0)], [Put(key, str(value).encode())]
        )
        return result.succeeded

    outcomes = await asyncio.gather(*(create(value) for value in range(50)))
    assert outcomes.count(True) == 1


async def test_a_key_cannot_be_bound_to_a_missing_lease(client, prefix):
    with pytest.raises(LeaseNotFoundError):
        await client.txn([], [Put(prefix + b"k", b"v", lease=12345)])


async def test_a_request_that_is_too_large_is_refused_not_repeated(client, prefix):
    with pytest.raises(EtcdRequestError, match=r"too large|larger than max"):
        await client.txn([], [Put(prefix + b"k", b"x" * 3_000_000)])


async def test_status_tells_version_and_leader(client, etcd):
    status = await client.status(etcd.endpoint)
    assert status.endpoint == etcd.endpoint
    assert int(status.version.split(".")[0]) >= 3
    assert status.leader == status.member_id != 0
    with pytest.raises(ValueError, match="not one of"):
        await client.status("127.0.0.1:1")
