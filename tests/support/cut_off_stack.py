"""A stack of two proxies; the first one reaches root coord through a relay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local.configuration import Settings, laid_over
from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from tests.e2e.stacks import clean_environment, logs
from tests.support.tcp_relay import TcpRelay


class _StackWithRelay(LocalStack):
    """A stack whose first proxy connects to the relay.

    Attributes:
        relay_address: where the relay listens.
    """

    relay_address = ""

    def _proxy_settings(self, index: int) -> Settings:
        settings = super()._proxy_settings(index)
        if index == 0:
            settings = laid_over(settings, {"rootCoord": {"addresses": [self.relay_address]}})
        return settings


@asynccontextmanager
async def stack_with_relay(
    folder: Path, settings: dict[str, Any]
) -> AsyncIterator[tuple[LocalStack, TcpRelay]]:
    """Yields the stack, and the relay that can cut off its first proxy. Adds logs to failures."""
    ports = Ports.free(proxies=2)
    async with TcpRelay(ports.root_coord) as relay:
        stack = _StackWithRelay(
            folder, ports=ports, settings_overrides=settings, environment=clean_environment()
        )
        stack.relay_address = relay.endpoint
        try:
            async with stack:
                yield stack, relay
        except BaseException as error:
            error.add_note("\n".join(f"--- log of {name}\n{log}" for name, log in logs(stack)))
            raise
