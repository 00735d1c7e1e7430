"""An etcd with a key prefix for each test, and the fence of a term that begins with the test."""

import pytest

from tests.support.etcd import etcd, prefix
from tests.support.etcd_store import elected
from vecguard.etcd import EtcdClient
from vecguard.milvus_layout import Keys

__all__ = ["etcd", "prefix"]


@pytest.fixture
async def client(etcd):
    async with EtcdClient([etcd.endpoint]) as client:
        yield client


@pytest.fixture
def keys(prefix):
    return Keys.of(prefix.decode(), "meta")


@pytest.fixture
async def fence(client, keys):
    return await elected(client, keys)
