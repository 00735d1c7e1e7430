from collections.abc import AsyncIterator

import pytest

from tests.integration.root_coord.house import RootCoordHouse
from tests.support.etcd import EtcdProcess, etcd, own_etcd, prefix
from vecguard.etcd import EtcdClient

__all__ = ["etcd", "own_etcd", "prefix"]


@pytest.fixture
async def house(etcd: EtcdProcess, prefix: bytes) -> AsyncIterator[RootCoordHouse]:
    async with (
        EtcdClient([etcd.endpoint]) as client,
        RootCoordHouse.open(client, prefix.decode()) as house,
    ):
        yield house
