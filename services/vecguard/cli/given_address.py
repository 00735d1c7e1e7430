"""Reads an address as people have it at hand: host:port, a URL, or a host alone."""

from dataclasses import dataclass
from typing import Final

from vecguard.addresses import Address
from vecguard.cli.exit_codes import UsageError
from vecguard.errors import ConfigurationError

#: Whether a scheme asks for TLS; None if it leaves that open.
_SCHEMES: Final = {"http": False, "https": True, "tcp": None}
#: As browsers and pymilvus dial it.
_HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """An address, and whether its scheme asks for TLS; None if it says nothing about TLS."""

    address: Address
    tls: bool | None


def read_address(text: str, *, option: str, default_port: int) -> GivenAddress:
    """Reads what was given for an option.

    Args:
        text: host:port, http://host:port, https://host:port, tcp://host:port or a host. An IPv6
            address is in brackets. A URL may end in a slash.
        option: the option's name, for the error.
        default_port: the port of a host alone. https:// without a port means 443.

    Raises:
        UsageError: the text has another form. It is not shown, since it could hold a password.
    """
    if "@" in text:
        raise UsageError(
            f"{option}: an address holds no user and no password; "
            "use --user and --password-file, and remove the part up to the @"
        )
    scheme, separator, rest = text.rpartition("://")
    if not separator:
        return GivenAddress(_address(text, option, default_port), None)
    if scheme.lower() not in _SCHEMES:
        raise UsageError(
            f"{option}: unknown scheme; give host:port, http://host:port or https://host:port"
        )
    tls = _SCHEMES[scheme.lower()]
    place, _, path = rest.partition("/")
    if path or "?" in place or "#" in place:
        raise UsageError(f"{option}: remove what follows the host and the port")
    return GivenAddress(_address(place, option, _HTTPS_PORT if tls else default_port), tls)


def _address(place: str, option: str, default_port: int) -> Address:
    has_port = ":" in place.rpartition("]")[2]
    try:
        return Address.parse(place if has_port else f"{place}:{default_port}")
    except ConfigurationError:
        raise UsageError(
            f"{option}: not an address; give host:port, http://host:port, https://host:port or a "
            "host; an IPv6 address in brackets, as in [::1]:19530"
        ) from None
