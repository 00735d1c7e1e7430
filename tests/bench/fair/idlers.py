"""A process of idle connections: `python -m tests.bench.fair.idlers JSON`.

It opens `count` connections to `port`, an equal part from each address, says `said` on each, and
writes a line when all are open. Then it holds them until its input ends; with `returning` it
opens a connection again whenever one is closed.
"""

import asyncio
import json
import resource
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.bench.processes import LOAD_CORE, children_on, many_descriptors
from vecguard.proxy.http2 import frames

GREETING = frames.PREFACE + frames.settings({})
AT_A_TIME = 200


@asynccontextmanager
async def idlers(
    port: int,
    count: int,
    *,
    said: bytes = GREETING,
    addresses: Sequence[str] = ("127.0.0.1",),
    returning: bool = False,
) -> AsyncIterator[None]:
    """So many connections are open meanwhile, or were closed by the other side."""
    argument = json.dumps(
        {
            "port": port,
            "count": count,
            "said": said.decode("latin-1"),
            "addresses": addresses,
            "returning": returning,
        }
    )
    with children_on(LOAD_CORE), many_descriptors():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.fair.idlers", argument),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            if not await process.stdout.readline():
                raise AssertionError("the connections could not be opened")
        yield
    finally:
        process.stdin.close()
        await process.wait()


class _Idler(asyncio.Protocol):
    def __init__(self, said: bytes, closed) -> None:
        self._said, self._closed = said, closed

    def connection_made(self, transport) -> None:
        transport.write(self._said)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed()


async def _main(port: int, count: int, said: str, addresses: list[str], *, returning: bool) -> None:
    loop = asyncio.get_running_loop()
    wanted: asyncio.Queue[str] = asyncio.Queue()
    opened = 0
    all_are_open = asyncio.Event()

    async def open_them() -> None:
        nonlocal opened
        while True:
            address = await wanted.get()
            each = socket.socket()
            try:
                # A port is chosen with the destination: else they run out.
                each.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                each.setblocking(False)
                each.bind((address, 0))
                await loop.sock_connect(each, ("127.0.0.1", port))
                await loop.create_connection(
                    lambda address=address: _Idler(
                        said.encode("latin-1"),
                        lambda: wanted.put_nowait(address) if returning else None,
                    ),
                    sock=each,
                )
            except OSError:
                each.close()
                wanted.put_nowait(address)
                await asyncio.sleep(0.1)
                continue
            opened += 1
            if opened == count:
                all_are_open.set()

    for number in range(count):
        wanted.put_nowait(addresses[number % len(addresses)])
    openers = [loop.create_task(open_them()) for _ in range(AT_A_TIME)]
    await all_are_open.wait()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for opener in openers:
        opener.cancel()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_main(**json.loads(sys.argv[1])))
