"""The relay that Vecguard had before its own, as a yardstick: over grpclib.

`python -m tests.bench.grpclib_relay PORT BACKEND_PORT`. The authentication is the proxy's
own, asked by a task for each call as it was; what is left out (TLS, deadlines, revocation of
open calls, draining) would only have made it slower.
"""

import contextlib
import sys

import uvloop

from tests.bench.grpclib_relay.forwarding import Upstream
from tests.bench.grpclib_relay.listener import Listener
from tests.bench.memory import authenticator_of_one_user
from vecguard.addresses import Address


async def _serve(port: int, backend_port: int) -> None:
    upstream = Upstream(Address("127.0.0.1", backend_port))
    server = await Listener(authenticator_of_one_user(), upstream).start("127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
