"""File descriptors for as many clients as may be connected, or no more clients than those last for.

A process that has none left can accept nobody, and its own connections and its operations
port go with the clients: so a client must not be able to bring that about.
"""

from vecguard.config.relay import ConnectionSettings
from vecguard.descriptors import raised_limit
from vecguard.observability.log import get_logger

# The connections to backend and root coord, also the ones that are closing, the connections of the
# operations port, files.
_OWN = 384

log = get_logger(__name__)


def provide(connections: ConnectionSettings) -> ConnectionSettings:
    """Raises the process's soft limit as far as needed and allowed; bounds that it can keep."""
    wanted = connections.max + _OWN
    limit = raised_limit(wanted)
    if limit >= wanted:
        return connections
    bounded = fitting(connections, limit)
    log.warning(
        "few_file_descriptors: fewer connections are accepted than are configured; "
        "raise the limit (ulimit -n, LimitNOFILE), or lower proxy.connections.max",
        descriptors=limit,
        wanted=wanted,
        connections=bounded.max,
        per_address=bounded.max_per_address,
    )
    return bounded


def fitting(connections: ConnectionSettings, descriptors: int) -> ConnectionSettings:
    """Fewer connections, so that enough descriptors are left; one address keeps its share."""
    most = max(1, descriptors - _OWN, descriptors // 2)
    if most >= connections.max:
        return connections
    share = max(1, connections.max_per_address * most // connections.max)
    return connections.model_copy(update={"max": most, "max_per_address": share})
