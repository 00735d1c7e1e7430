"""How root coord gets its port, which an outgoing connection may have at that moment."""

import asyncio
import errno
import ssl
from typing import Final

from shared.addresses import Address
from shared.config.services import RootCoordSettings
from shared.errors import ConfigurationError
from shared.grpc.server import GrpcServer
from shared.observability.log import get_logger

log = get_logger(__name__)

# Connections of other programs that take such a port by chance seldom last longer.
_PATIENCE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.1
# After a change of leadership every proxy connects at the same moment.
_BACKLOG: Final = 4096


async def listen(
    server: GrpcServer,
    own: RootCoordSettings,
    tls: ssl.SSLContext | None,
    *,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> None:
    """Listens where it is configured; tries again for a while when the port is taken.

    53100 is Milvus's number for root coord and lies in the range from which Linux takes ports
    for outgoing connections.

    Raises:
        ConfigurationError: it cannot listen there.
    """
    address = Address(own.ip, own.port)
    loop = asyncio.get_running_loop()
    until, is_told = loop.time() + patience_seconds, False
    while True:
        try:
            await server.listen(own.ip, own.port, tls=tls, backlog=_BACKLOG)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            if not is_taken or loop.time() >= until:
                raise ConfigurationError(_refusal(address, error, is_taken=is_taken)) from error
            if not is_told:
                log.warning("port_taken", address=str(address), retried_seconds=patience_seconds)
                is_told = True
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            log.info("serving", address=str(address))
            return


def _refusal(address: Address, error: OSError, *, is_taken: bool) -> str:
    hint = (
        "; if nobody listens there, an outgoing connection has it, and "
        f"sysctl net.ipv4.ip_local_reserved_ports={address.port} keeps it free"
    )
    return (
        f"cannot listen on {address} ({error.strerror or error}); free it or set rootCoord.ip and "
        f"rootCoord.port{hint if is_taken else ''}"
    )
