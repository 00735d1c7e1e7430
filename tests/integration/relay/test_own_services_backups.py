"""Backups are long messages: they pass, and other account calls stay short."""

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.support.own_services import own_services
from vecguard.addresses import Address
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.raw_message import RawMessage, encoded
from vecguard.proxy.accounts.milvus_wire import backup_reply
from vecguard.proxy.accounts.records import Backup, Grant, SavedRole

MIB = 2**20
GRANTS = 50_000


@pytest.fixture
async def channel():
    async with own_services(1) as relay:
        channel = Channel(Address("127.0.0.1", relay.port))
        try:
            yield channel
        finally:
            channel.close()


async def long_backup():
    """Returns a backup of several MiB, as Milvus's `RBACMeta`."""
    grants = [
        Grant("Collection", "default", f"books{number}", "PrivilegeSearch", "root")
        for number in range(GRANTS)
    ]
    reply = await backup_reply(Backup(roles=[SavedRole("reader", "", grants)]))
    return reply.removeprefix(encoded(1, b""))


async def test_a_long_backup_is_restored_and_saved_again(channel):
    meta = await long_backup()
    assert 3 * MIB < len(meta) < 8 * MIB
    root = pb.MilvusServiceStub(channel, timeout=60)
    restored = await root._unary_unary(
        "/milvus.proto.milvus.MilvusService/RestoreRBAC", RawMessage(meta), common.Status
    )
    assert restored == common.Status()
    saved = await root._unary_unary(
        "/milvus.proto.milvus.MilvusService/BackupRBAC", RawMessage(), RawMessage
    )
    assert saved.count(b"books") == GRANTS
    listed = await root._unary_unary(
        "/milvus.proto.milvus.MilvusService/SelectGrant",
        pb.SelectGrantRequest(entity=pb.GrantEntity(role=pb.RoleEntity(name="reader"))),
        RawMessage,
    )
    assert listed.count(b"books") == GRANTS


@pytest.mark.parametrize(
    ("method", "size"),
    [("RestoreRBAC", 8 * MIB + 1), ("CreateRole", 32 * 1024 + 1), ("BackupRBAC", MIB)],
)
async def test_a_longer_request_is_refused(channel, method, size):
    root = pb.MilvusServiceStub(channel, timeout=60)
    with pytest.raises(GRPCError) as refusal:
        await root._unary_unary(
            f"/milvus.proto.milvus.MilvusService/{method}", RawMessage(size), RawMessage
        )
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED
