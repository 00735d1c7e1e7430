from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.scenario import VERSIONS, Pymilvus
from tests.e2e.stacks import logs, running_stack
from tests.e2e.tls import TlsStack, running_tls_stack
from vecguard.config.security import TlsMode


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda each: f"pymilvus{each.major}")
def pymilvus(request: pytest.FixtureRequest) -> Pymilvus:
    """Each of the two pymilvus versions."""
    return request.param


@pytest.fixture(
    scope="session",
    params=[VERSIONS[0], pytest.param(VERSIONS[1], marks=pytest.mark.long)],
    ids=lambda each: f"pymilvus{each.major}",
)
def any_pymilvus(request: pytest.FixtureRequest) -> Pymilvus:
    """For tests that start stacks of their own, and look at more than the client."""
    return request.param


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """One stack with three proxies for all tests that leave it as they found it."""
    async with running_stack(tmp_path_factory.mktemp("stack"), proxies=3) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_way(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsStack]:
    """A stack in TLS mode 1; tests leave it as they found it."""
    async with running_tls_stack(tmp_path_factory.mktemp("one-way"), TlsMode.SERVER) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mutual(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsStack]:
    """A stack in TLS mode 2; tests leave it as they found it."""
    async with running_tls_stack(tmp_path_factory.mktemp("mutual"), TlsMode.MUTUAL) as stack:
        yield stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    for shared in getattr(item, "funcargs", {}).values():
        stack = shared.stack if isinstance(shared, TlsStack) else shared
        if report.failed and isinstance(stack, LocalStack):
            report.sections += [(f"log of {name}", log) for name, log in logs(stack)]
    return report
