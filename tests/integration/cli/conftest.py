from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.stacks import running_stack
from tests.integration.cli.installation import Installation
from tests.support.etcd import own_etcd
from vecguard.config.security import TlsMode

__all__ = ["own_etcd"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """Two proxies and two root coords; root's password stays the default one."""
    directory = tmp_path_factory.mktemp("cli-stack")
    async with running_stack(directory, proxies=2, root_coords=2) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mutual_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """One of each, with mutual TLS everywhere."""
    async with running_stack(tmp_path_factory.mktemp("cli-tls"), tls=TlsMode.MUTUAL) as stack:
        yield stack


@pytest.fixture
def installation(shared_stack, tmp_path) -> Installation:
    return Installation(shared_stack, tmp_path)


@pytest.fixture
def mutual(mutual_stack, tmp_path) -> Installation:
    return Installation(mutual_stack, tmp_path)
