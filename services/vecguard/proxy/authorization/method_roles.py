"""Says which roles may call the methods of backends other than Milvus, as configured.

Only the names of a user's roles count here: nothing of a request is read, and no grant.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from vecguard.privileges.catalogue import ADMIN, PUBLIC
from vecguard.proxy.authorization.errors import RoleNeededError
from vecguard.proxy.authorization.methods import Treatment

_MAX_PATH_BYTES: Final = 200
_MAX_SHOWN: Final = 3
_is_plain = re.compile(rb"/[a-z0-9_.-]+/[a-z0-9_.-]+").fullmatch


class MethodRoles:
    """The roles that may call a method; `admin` always may.

    Attributes:
        pattern: that of the entry.
        roles: their names.
    """

    __slots__ = ("_allowed", "_is_one", "_shown", "pattern", "roles")

    def __init__(self, pattern: str, roles: Iterable[str]) -> None:
        """Takes the entry; `roles` are at least one."""
        names = tuple(dict.fromkeys(roles))
        self.pattern = pattern
        self.roles = names
        self._allowed = frozenset((*names, ADMIN))
        self._is_one = len(names) == 1
        self._shown = ", ".join(names[:_MAX_SHOWN])
        if len(names) > _MAX_SHOWN:
            self._shown += f" and {len(names) - _MAX_SHOWN} more"

    def require(self, path: str, username: str, roles: Collection[str]) -> None:
        """Raises RoleNeededError unless one of these roles of the user may call."""
        if self._allowed.isdisjoint(roles):
            raise RoleNeededError(path, self._shown, username, several=not self._is_one)


def need_of(pattern: str, roles: Collection[str]) -> MethodRoles | Treatment:
    """Returns what an entry demands. Every user has the role `public`."""
    return Treatment.LOGIN if PUBLIC in roles else MethodRoles(pattern, roles)


class Spellings:
    """Recognizes the methods of the services that have an entry, however a client spells them.

    Some servers take no notice of upper and lower case, of a query, of percent-encoding or of
    additional slashes and dots.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Takes the paths of the entries."""
        self._services = frozenset(key_of(pattern).split(b"/")[1] for pattern in patterns)

    def key(self, path: bytes) -> bytes | None:
        """Returns the key by which the entry of a path is found; None if it can have none."""
        key = path.lower()
        return key if len(key) <= _MAX_PATH_BYTES and _is_plain(key) else None

    def is_disguised(self, path: bytes) -> bool:
        """Returns whether a path without a key could mean a service that has an entry."""
        meant = unquote_to_bytes(path).lower()
        return any(service in meant for service in self._services)


def key_of(pattern: str) -> bytes:
    """Returns the key of an entry."""
    return pattern.lower().encode()
