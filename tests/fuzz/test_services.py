"""Arbitrary bytes through a real account service, and in etcd below a real store."""

import random
from contextlib import suppress

import pytest
import structlog
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.fuzz.seeds import BCRYPT, SEEDS
from tests.integration.root_coord.harness import RootCoordHarness
from tests.support.account_service import running_account_service
from tests.support.etcd import etcd, own_etcd, prefix
from tests.support.etcd_store import etcd_store
from tests.support.logs import every_log_line
from vecguard.etcd import EtcdClient, Put
from vecguard.milvus_layout import Keys, Record
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.secret import Secret

__all__ = ["etcd", "own_etcd", "prefix"]

METHODS = [
    "CreateCredential",
    "UpdateCredential",
    "DeleteCredential",
    "ListCredUsers",
    "SelectUser",
    "SelectRole",
    "SelectGrant",
]
SAMPLES = 40
GOOD = PasswordHash(Secret(BCRYPT), PasswordScheme.BCRYPT)


class Raw:
    """A message that is its bytes."""

    def __init__(self, data=b""):
        self._data = data

    def __bytes__(self):
        return self._data

    def SerializeToString(self):  # noqa: N802 - as betterproto and protobuf call it
        return self._data

    @classmethod
    def FromString(cls, data):  # noqa: N802 - as above
        return cls(data)


def bytes_near_a_message(dice):
    """Fields of small numbers and any wire type, as a request has them, and then noise."""
    data = bytearray()
    for _ in range(dice.randrange(4)):
        data.append(dice.randrange(1, 9) << 3 | dice.choice((0, 2, 2, 2, 1, 5, 3, 7)))
        text = dice.randbytes(dice.randrange(12))
        data += bytes((dice.choice((len(text), len(text), 0x7F, 0xFF)),)) + text
    return bytes(data)


@pytest.fixture
async def channel():
    async with running_account_service("root") as (_, channel):
        yield channel


@pytest.mark.parametrize("method", METHODS)
async def test_arbitrary_requests_get_an_answer_of_grpc(channel, method):
    dice = random.Random(method)
    with structlog.testing.capture_logs() as logs:
        for _ in range(SAMPLES):
            try:
                async with channel.request(
                    f"/milvus.proto.milvus.MilvusService/{method}",
                    Cardinality.UNARY_UNARY,
                    Raw,
                    Raw,
                    timeout=10,
                    metadata={"x-vecguard-user": "root"},
                ) as stream:
                    await stream.send_message(Raw(bytes_near_a_message(dice)), end=True)
                    assert await stream.recv_message() is not None
            except GRPCError:
                pass  # an answer too
    assert not [line for line in logs if line["log_level"] in {"error", "critical"}], logs


ROOT_COORD_METHODS = {
    "GetCredential": Cardinality.UNARY_UNARY,
    "SyncRevisions": Cardinality.UNARY_UNARY,
    "ListUsers": Cardinality.UNARY_UNARY,
    "CreateCredential": Cardinality.UNARY_UNARY,
    "UpdateCredential": Cardinality.UNARY_UNARY,
    "DeleteCredential": Cardinality.UNARY_UNARY,
    "RehashCredential": Cardinality.UNARY_UNARY,
    "Session": Cardinality.STREAM_STREAM,
}


async def test_arbitrary_requests_of_a_proxy_get_an_answer_of_grpc(etcd, prefix):
    dice = random.Random(1)
    async with (
        EtcdClient([etcd.endpoint]) as client,
        RootCoordHarness.open(client, prefix.decode()) as harness,
    ):
        with every_log_line() as logs:
            for method, cardinality in ROOT_COORD_METHODS.items():
                for _ in range(SAMPLES):
                    with suppress(GRPCError, StreamTerminatedError):
                        async with harness.stub.channel.request(
                            f"/vecguard.internal.v1.RootCoord/{method}",
                            cardinality,
                            Raw,
                            Raw,
                            timeout=10,
                        ) as stream:
                            await stream.send_message(Raw(bytes_near_a_message(dice)), end=True)
                            await stream.recv_message()
    assert not [line for line in logs if line["log_level"] in {"error", "critical"}], logs


async def test_a_corrupt_record_harms_its_user_only_and_is_named_in_the_log(etcd, prefix):
    dice = random.Random(1)
    async with EtcdClient([etcd.endpoint]) as client:
        keys = Keys.of(prefix.decode(), "meta")
        store = await etcd_store(client, keys)
        await client.txn([], [Put(keys.user("good").encode(), Record.new(GOOD, "").encode())])
        seeds = SEEDS["stored_credential"]
        for number in range(200):
            seed = dice.choice(seeds)
            cut = dice.randrange(len(seed))
            value = seed[:cut] + dice.randbytes(dice.randrange(4)) + seed[cut + dice.randrange(3) :]
            await client.txn([], [Put(keys.user(f"user{number}").encode(), value)])
        with structlog.testing.capture_logs() as logs:
            found = {stored.username: stored for stored in (await store.list_all()).value}
        assert len(found) == 201
        assert found["good"].password == GOOD
        corrupt = {name for name, stored in found.items() if stored.password is None}
        assert len(corrupt) > 50
        named = [line for line in logs if line["event"] == "corrupt_credential"]
        assert {line["user"] for line in named} == corrupt
        assert (await store.get("good")).value == found["good"]
