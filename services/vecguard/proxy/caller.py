"""What the relay has told our own services of the client whose call they handle."""

from vecguard.addresses import LOCAL, Address
from vecguard.grpc.server import current_caller


def client_host() -> str | None:
    """The client's IP address; None where it has none. Raises LookupError outside of a call."""
    peer = current_caller().metadata.get("x-vecguard-peer")
    return Address.parse(peer).host if peer and peer != LOCAL else None
