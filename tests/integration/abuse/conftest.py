from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.stacks import running_stack
from tests.integration.abuse.besieged import Besieged
from tests.support.echo_backend import echo_backend
from tests.support.relay import channel

#: Smaller than the defaults where an attack would take long to reach those.
SETTINGS = {
    "authentication": {"bcryptCost": 4},
    "proxy": {
        "http2": {"maxBuffered": 16 * 2**20},
        "connections": {"maxPerAddress": 250, "handshakeTimeout": 1},
    },
}
#: A grpcio server whose Python cannot keep up answers calls at random with CANCELLED, whoever
#: they are from, once more than a thousand wait for it. That is no doing of the proxy.
PATIENT = (
    ("grpc.server.max_pending_requests", 10**6),
    ("grpc.server.max_pending_requests_hard_limit", 10**6),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def besieged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Besieged]:
    folder = tmp_path_factory.mktemp("besieged")
    async with echo_backend(options=PATIENT) as backend:
        settings = SETTINGS | {
            "backend": {"address": f"127.0.0.1:{backend.port}"},
            "audit": {"output": str(folder / "audit.log")},
        }
        async with (
            running_stack(folder / "data", settings=settings) as stack,
            channel(stack.proxies[0].address) as honest,
        ):
            yield Besieged(stack.proxies[0], honest)
