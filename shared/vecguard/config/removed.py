"""Lists removed settings, and what to say to a configuration that still has one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vecguard.config.catalogue import Path, variable_of


@dataclass(frozen=True, slots=True)
class Removed:
    """A setting that no longer exists.

    Attributes:
        release: the first version without it.
        instead: what applies now.
    """

    release: str
    instead: str

    def complaint(self, carrier: str) -> str:
        """Returns why it is refused; `carrier` is what sets it, a key or a variable."""
        return f"removed in {self.release}: {self.instead}; delete the {carrier}"


_INSTEAD: Final = {
    "0.2": {
        "audit.window": "equal entries are counted together for 60 seconds",
        "audit.maxGroups": "200 kinds of refusals, and 200 of account changes, are counted "
        "separately",
        "audit.queue": "1000 lines may wait to be written",
        "authentication.fetchBurst": "1000 users are looked up at once, or as many as "
        "proxy.maxUserNum if that is more",
        "authentication.fetchesPerSecond": "100 further users are looked up in a second",
        "authentication.loginLimits.maxTracked": "20000 addresses, users and pairs are remembered "
        "of each kind",
        "backend.pool.reconnectDelay": "the first pause between two attempts to connect is "
        "0.1 seconds",
        "backend.pool.maxReconnectDelay": "the longest pause between two attempts to connect is "
        "5 seconds",
        "cache.maxRefusals": "100000 refused logins are remembered",
        "proxy.http2.maxFrameSize": "frames of at most 16384 bytes are taken, as every HTTP/2 "
        "client sends them",
        "proxy.http2.maxUnread": "4194304 bytes of answers without data wait for a client that "
        "does not read",
        "proxy.http2.maxUselessFrames": "a connection may send 10000 useless frames a second",
    },
}

#: By path, in the file's spelling.
REMOVED: Final[Mapping[Path, Removed]] = {
    tuple(key.split(".")): Removed(release, instead)
    for release, keys in _INSTEAD.items()
    for key, instead in keys.items()
}
_BY_VARIABLE: Final = {variable_of(path): path for path in REMOVED}


def removed_by_variable(name: str) -> Path | None:
    """Returns the removed setting that an environment variable would set, in any case."""
    return _BY_VARIABLE.get(name.upper())
