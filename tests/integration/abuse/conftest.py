from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from tests.e2e.stacks import running_stack
from tests.integration.abuse.attacked_proxy import AttackedProxy
from tests.support.echo_backend import echo_backend
from tests.support.relay import channel

#: Smaller than the defaults where an attack would take long to reach those.
SETTINGS = {
    "authentication": {"bcryptCost": 4},
    "proxy": {
        "http2": {"maxBuffered": 16 * 2**20},
        "connections": {
            "max": 400,
            "maxPerAddress": 250,
            "handshakeTimeout": 1,
            "idleTimeout": 1,
        },
    },
}
#: Every connection is short-lived, the honest client's as well; its calls have more grace than
#: they take on a busy machine.
SHORT_LIVED = {
    "authentication": {"bcryptCost": 4},
    "proxy": {"connections": {"maxAge": 2, "maxAgeGrace": 2}},
}
#: A grpcio server whose Python cannot keep up answers calls at random with CANCELLED, whoever
#: they are from, once more than a thousand wait for it. That is no doing of the proxy.
PATIENT = (
    ("grpc.server.max_pending_requests", 10**6),
    ("grpc.server.max_pending_requests_hard_limit", 10**6),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AttackedProxy]:
    async with _attacked(tmp_path_factory.mktemp("attacked"), SETTINGS) as attacked:
        yield attacked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def short_lived(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AttackedProxy]:
    folder = tmp_path_factory.mktemp("short-lived")
    async with _attacked(folder, SHORT_LIVED, honest=_calling_again_what_was_not_sent) as attacked:
        yield attacked


def _calling_again_what_was_not_sent(target: str) -> grpc.aio.Channel:
    """A channel with grpcio's own settings.

    Its connections grow old, too. grpcio fails a call that it has not sent yet when a GOAWAY
    arrives, and repeats it unless that is switched off: test_old_connections.py proves
    it by the frames, with a server of grpcio as well.
    """
    return grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])


@asynccontextmanager
async def _attacked(
    folder: Path,
    settings: dict[str, Any],
    *,
    honest: Callable[[str], grpc.aio.Channel] = channel,
) -> AsyncIterator[AttackedProxy]:
    async with echo_backend(options=PATIENT) as backend:
        settings = settings | {
            "backend": {"address": f"127.0.0.1:{backend.port}"},
            "audit": {"output": str(folder / "audit.log")},
        }
        async with (
            running_stack(folder / "data", settings=settings) as stack,
            honest(stack.proxies[0].address) as client,
        ):
            yield AttackedProxy(stack.proxies[0], client)
