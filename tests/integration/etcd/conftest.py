from collections.abc import AsyncIterator

import pytest

from tests.support.etcd import EtcdProcess, etcd, etcd_cluster, own_etcd, prefix
from vecguard.etcd import EtcdClient

__all__ = ["client", "etcd", "etcd_cluster", "own_etcd", "prefix"]


@pytest.fixture
async def client(etcd: EtcdProcess) -> AsyncIterator[EtcdClient]:
    async with EtcdClient([etcd.endpoint]) as client:
        yield client
