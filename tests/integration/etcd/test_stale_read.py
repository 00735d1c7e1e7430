"""Stale reads of etcd (its issue 20418), from a small server: a real etcd has them too seldom."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from grpclib.server import Server

from vecguard.etcd import EtcdClient, EtcdUnavailableError, Get
from vecguard.generated import etcdserverpb as pb


class Member(pb.KvBase):
    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.reads = 0

    @property
    def header(self) -> pb.ResponseHeader:
        return pb.ResponseHeader(cluster_id=7, member_id=1, revision=self.revision)

    async def range(self, range_request: pb.RangeRequest) -> pb.RangeResponse:
        self.reads += 1
        return pb.RangeResponse(header=self.header)

    async def txn(self, txn_request: pb.TxnRequest) -> pb.TxnResponse:
        self.reads += 1
        return pb.TxnResponse(header=self.header, succeeded=True)


class Maintenance(pb.MaintenanceBase):
    async def status(self, status_request: pb.StatusRequest) -> pb.StatusResponse:
        # What a status says about revisions must not count here: only the reads do.
        return pb.StatusResponse(header=pb.ResponseHeader(cluster_id=7, member_id=1))


@asynccontextmanager
async def serving(member: Member) -> AsyncIterator[str]:
    server = Server([member, Maintenance()])
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start(sock=listener)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_a_read_older_than_one_seen_before_is_repeated_at_another_endpoint():
    stale, fresh = Member(100), Member(101)
    async with (
        serving(stale) as first,
        serving(fresh) as second,
        EtcdClient([first, second]) as client,
    ):
        assert (await client.range(b"k")).revision == 100
        stale.revision = 99
        assert (await client.range(b"k")).revision == 101
        assert (stale.reads, fresh.reads) == (2, 1)


async def test_a_read_only_transaction_is_guarded_as_well():
    stale, fresh = Member(100), Member(101)
    async with (
        serving(stale) as first,
        serving(fresh) as second,
        EtcdClient([first, second]) as client,
    ):
        await client.range(b"k")
        stale.revision = 99
        assert (await client.txn([], [Get(b"k")])).revision == 101


async def test_when_every_endpoint_is_stale_the_read_fails():
    member = Member(100)
    async with (
        serving(member) as endpoint,
        EtcdClient([endpoint]) as client,
    ):
        await client.range(b"k")
        member.revision = 99
        with pytest.raises(EtcdUnavailableError, match=r"stale read.*99.*100"):
            await client.range(b"k", timeout_seconds=2)
        member.revision = 100
        assert (await client.range(b"k")).revision == 100
