"""Opens root coord's port; tries again if an outgoing connection has taken its number."""

import asyncio
import ssl
from typing import Final

from vecguard.addresses import Address
from vecguard.config.services import RootCoordSettings
from vecguard.descriptors import raised_limit
from vecguard.errors import ConfigurationError
from vecguard.grpc.server import GrpcServer
from vecguard.listening import CannotListenError, listening_sockets
from vecguard.observability.log import get_logger

log = get_logger(__name__)

# A connection of another program that occupies the port by chance seldom lasts longer.
_PATIENCE_SECONDS: Final = 5.0
_SETTINGS: Final = "rootCoord.ip and rootCoord.port"
_RETRY_SECONDS: Final = 0.1
# After a change of leadership every proxy connects at the same moment.
_BACKLOG: Final = 4096
# The connections to etcd, the operations port (which bounds its own), files.
_OWN_DESCRIPTORS: Final = 256


async def listen(
    server: GrpcServer,
    own: RootCoordSettings,
    tls: ssl.SSLContext | None,
    *,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> None:
    """Listens on the configured address; retries for a while when the port is taken.

    53100 is Milvus's number for root coord and lies in the range from which Linux takes ports
    for outgoing connections.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    address = Address(own.ip, own.port)
    connections = fitting_connections(own.max_connections)
    loop = asyncio.get_running_loop()
    until, is_logged = loop.time() + patience_seconds, False
    while True:
        try:
            sockets = listening_sockets(address, settings=_SETTINGS, backlog=_BACKLOG)
        except CannotListenError as error:
            if not error.is_taken:
                raise
            if loop.time() >= until:
                raise ConfigurationError(
                    f"{error.message}; if no process listens on it, an outgoing connection uses "
                    f"it: sysctl net.ipv4.ip_local_reserved_ports={address.port} keeps it free"
                ) from error
            if not is_logged:
                log.warning("port_taken", address=str(address), retried_seconds=patience_seconds)
                is_logged = True
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            server.listen(sockets, name="rootCoord", max_connections=connections, tls=tls)
            log.info("serving", address=str(address))
            return


def fitting_connections(wanted: int) -> int:
    """Returns how many of the `wanted` connections the file descriptors suffice for.

    Raises the process's limit of descriptors as far as the system permits.
    """
    descriptors = raised_limit(wanted + _OWN_DESCRIPTORS)
    connections = max(1, min(wanted, descriptors - _OWN_DESCRIPTORS))
    if connections < wanted:
        log.warning(
            "few_file_descriptors: the limit on open files allows fewer connections than "
            "configured; raise it (ulimit -n, LimitNOFILE), or lower rootCoord.maxConnections",
            descriptors=descriptors,
            connections=connections,
        )
    return connections
