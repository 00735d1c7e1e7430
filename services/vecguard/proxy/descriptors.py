"""Raises the limit of file descriptors to the allowed connections, or lowers the connections.

A process without free descriptors cannot accept clients, connect to root coord, or serve its
operations port, so clients must not be able to use all of them.
"""

from vecguard.config.relay import ConnectionSettings
from vecguard.descriptors import raised_limit
from vecguard.observability.log import get_logger

# Reserved for connections to the backend and root coord, including closing ones, connections of the
# operations port, and files.
_OWN = 384

log = get_logger(__name__)


def provide(connections: ConnectionSettings) -> ConnectionSettings:
    """Raises the soft limit as far as needed and allowed. Returns bounds that fit into it."""
    wanted = connections.max + _OWN
    limit = raised_limit(wanted)
    if limit >= wanted:
        return connections
    bounded = fitting(connections, limit)
    log.warning(
        "few_file_descriptors: the limit on open files allows fewer connections than configured; "
        "raise it (ulimit -n, LimitNOFILE), or lower proxy.connections.max",
        descriptors=limit,
        wanted=wanted,
        connections=bounded.max,
        per_address=bounded.max_per_address,
    )
    return bounded


def fitting(connections: ConnectionSettings, descriptors: int) -> ConnectionSettings:
    """Returns bounds that leave enough descriptors; one address keeps its share."""
    most = max(1, descriptors - _OWN, descriptors // 2)
    if most >= connections.max:
        return connections
    share = max(1, connections.max_per_address * most // connections.max)
    return connections.model_copy(update={"max": most, "max_per_address": share})
