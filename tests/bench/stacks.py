"""etcd and root coords as real processes, without a proxy or a backend."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.ports import Ports
from deploy.local.stack import LocalStack

__all__ = ["etcd_and_root_coord"]


@asynccontextmanager
async def etcd_and_root_coord(
    folder: Path, *, fill: Callable[[LocalStack], Awaitable[None]] | None = None, **settings
) -> AsyncIterator[LocalStack]:
    """`fill` may write into etcd before root coord starts."""
    stack = LocalStack(
        folder,
        ports=Ports.free(proxies=1),
        settings_overrides={"log": {"level": "warn"}, **settings},
    )
    stack._prepare()
    await stack.etcd.start()
    try:
        await stack.etcd.wait_ready()
        if fill is not None:
            await fill(stack)
        await stack.root_coord.start()
        await stack.root_coord.wait_ready()
        yield stack
    finally:
        await stack.stop()
