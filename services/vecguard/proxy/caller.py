"""Reads the identity headers that the relay adds to the calls of our own services."""

from vecguard.addresses import LOCAL, Address
from vecguard.grpc.server import current_caller


def client_host() -> str | None:
    """Returns the IP address of the client, or None without one.

    Raises LookupError outside of a call.
    """
    peer = current_caller().metadata.get("x-vecguard-peer")
    return Address.parse(peer).host if peer and peer != LOCAL else None
