from collections.abc import AsyncIterator

import pytest

from tests.integration.root_coord.harness import RootCoordHarness
from tests.support.etcd import EtcdProcess, etcd, own_etcd, prefix
from vecguard.etcd import EtcdClient

__all__ = ["etcd", "own_etcd", "prefix"]


@pytest.fixture
async def harness(etcd: EtcdProcess, prefix: bytes) -> AsyncIterator[RootCoordHarness]:
    async with (
        EtcdClient([etcd.endpoint]) as client,
        RootCoordHarness.open(client, prefix.decode()) as harness,
    ):
        yield harness
