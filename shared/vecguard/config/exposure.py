"""Finds what a configuration opens to the network."""

from collections.abc import Iterator
from dataclasses import dataclass

from vecguard.addresses import is_loopback
from vecguard.config.security import TlsMode
from vecguard.config.settings import Settings
from vecguard.networks import parse_network


@dataclass(frozen=True, slots=True)
class Exposure:
    """A port that is open without TLS, or an address that every client may choose.

    Attributes:
        cause: what is open, and what that means.
        remedy: the settings that close or encrypt it.
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}"


def proxy_exposure(settings: Settings) -> Exposure | None:
    """Returns the exposure of the public port; None if it is encrypted or on loopback."""
    if settings.tls_mode is not TlsMode.OFF or is_loopback(settings.proxy.ip):
        return None
    return Exposure(
        "the proxy's port is open to the network without TLS: passwords and data travel in the "
        "clear",
        "set common.security.tlsMode to 1 or 2, or proxy.ip to a loopback address",
    )


def root_coord_exposure(settings: Settings) -> Exposure | None:
    """Returns the exposure of root coord's port; None if it is encrypted or on loopback."""
    if settings.common.security.internaltls_enabled or is_loopback(settings.root_coord.ip):
        return None
    return Exposure(
        "root coord's port is open to the network without TLS: every host that reaches it can "
        "read password hashes and set passwords",
        "set common.security.internaltlsEnabled to true, or let only the proxies reach the port "
        "(rootCoord.ip, NetworkPolicy, firewall)",
    )


def trust_in_every_address(settings: Settings) -> Iterator[Exposure]:
    """Yields networks of load balancers that contain every address."""
    proxy = settings.proxy
    for key, trusted, consequence in (
        (
            "proxy.proxyProtocol.trusted",
            proxy.proxy_protocol.trusted,
            "every client of the port chooses the address that it counts for",
        ),
        (
            "proxy.forwardedFor.trusted",
            proxy.forwarded_for.trusted,
            "every client of the port chooses the address that its logins count for",
        ),
    ):
        for text in trusted:
            if not parse_network(text).prefixlen:
                yield Exposure(
                    f"{key} has {text}, which is every address: {consequence}",
                    f"name only your load balancers in {key}",
                )
