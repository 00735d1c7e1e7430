"""Stacks for tests: free ports, cheap passwords, logs shown when something fails."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from vecguard.config.security import TlsMode

#: The lowest cost that bcrypt knows: these tests are about protocols, not about hashing.
CHEAP_PASSWORDS = {"authentication": {"bcryptCost": 4}}
_LINES_TOLD = 60


@asynccontextmanager
async def running_stack(
    data_dir: Path,
    *,
    proxies: int = 1,
    root_coords: int = 1,
    tls: TlsMode = TlsMode.OFF,
    settings: dict[str, Any] | None = None,
) -> AsyncIterator[LocalStack]:
    """A stack of its own for one test; its logs are added to a failure."""
    stack = LocalStack(
        data_dir,
        ports=Ports.free(proxies=proxies, root_coords=root_coords),
        tls=tls,
        settings_overrides=CHEAP_PASSWORDS | (settings or {}),
        environment=clean_environment(),
    )
    try:
        async with stack:
            yield stack
    except BaseException as error:
        error.add_note("\n".join(f"--- log of {name}\n{log}" for name, log in logs(stack)))
        raise


def clean_environment() -> dict[str, str]:
    """Returns this environment without Vecguard's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VECGUARD")}


def logs(stack: LocalStack) -> list[tuple[str, str]]:
    """(process name, its newest lines) for each process."""
    return [
        (process.name, "\n".join(process.recent_lines[-_LINES_TOLD:]))
        for process in stack.processes
    ]
