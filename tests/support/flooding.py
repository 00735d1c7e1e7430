"""A process that floods a port with frames: `python -m tests.support.flooding PORT COUNT KIND`.

Each of COUNT connections sends as fast as it can and reads what comes; when it is cut it comes
again at once. A line is written when all have begun; it ends with its input.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.frame_sequences import frame
from vecguard.proxy.http2 import frames

_ROOT = Path(__file__).parents[2]
GREETING = frames.PREFACE + frame(frames.SETTINGS, 0, 0, b"")
FLOODS = {
    "ping": frame(frames.PING, 0, 0, b"12345678"),
    "settings": frame(frames.SETTINGS, 0, 0, b""),
    "window": frame(frames.WINDOW_UPDATE, 0, 0, (1).to_bytes(4)),
    "priority": frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "unknown": frame(0xFA, 0, 0, b"12345678"),
}


@asynccontextmanager
async def flooded(port: int, kind: str, count: int = 4) -> AsyncIterator[None]:
    """Keeps the flood running in the context."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.flooding", str(port), str(count), kind),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 30.0)
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def _main(port: int, count: int, kind: str) -> None:
    batch = FLOODS[kind] * 1000
    begun = 0
    all_have_begun = asyncio.Event()

    async def read(reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while await reader.read(2**16):
                pass

    async def flood() -> None:
        nonlocal begun
        is_first = True
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            reading = asyncio.create_task(read(reader))
            writer.write(GREETING)
            with suppress(OSError):
                while not reading.done():
                    writer.write(batch)
                    await writer.drain()
                    if is_first:
                        is_first = False
                        begun += 1
                        if begun == count:
                            all_have_begun.set()
                    await asyncio.sleep(0)
            writer.transport.abort()
            await reading

    tasks = [asyncio.create_task(flood()) for _ in range(count)]
    await all_have_begun.wait()
    print("begun", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
