from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio

from tests.e2e.stacks import running_stack
from tests.integration.metrics.deployment import Deployment
from tests.support.echo_backend import echo_backend


@asynccontextmanager
async def _running(folder: Path, more: dict[str, Any]) -> AsyncIterator[Deployment]:
    async with echo_backend() as backend, AsyncExitStack() as opened:
        settings = more | {
            "backend": {"address": f"127.0.0.1:{backend.port}"},
            "audit": {"output": str(folder / "audit.log")},
        }
        stack = await opened.enter_async_context(running_stack(folder / "data", settings=settings))
        channel = await opened.enter_async_context(
            grpc.aio.insecure_channel(
                stack.proxies[0].address,
                options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)],
            )
        )
        yield Deployment(stack, backend, channel)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Shared by a module: its tests look at what has been added."""
    limits = {"pairBurst": 5, "pairPerMinute": 1}
    settings = {"authentication": {"bcryptCost": 4, "loginLimits": limits}}
    async with _running(tmp_path_factory.mktemp("deployment"), settings) as running:
        yield running


@pytest.fixture
def start_deployment(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Deployment]]:
    """Starts one with these settings."""
    return lambda **settings: _running(tmp_path, settings)
