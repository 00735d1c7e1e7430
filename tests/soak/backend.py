"""The test backend as a process: `python -m tests.soak.backend PORT`."""

import asyncio
import sys

from tests.support.echo_backend import EchoBackend


async def _serve(port: int) -> None:
    backend = EchoBackend()
    await backend.start(port)
    while True:
        await asyncio.sleep(1.0)
        # Its record of calls is for tests that last a second.
        backend.calls = [call for call in backend.calls if not call.over.is_set()]


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
