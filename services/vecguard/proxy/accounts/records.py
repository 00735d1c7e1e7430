"""The records that accounts read from root coord. They take little memory: grants may be many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vecguard.passwords import PasswordHash


class Grant(NamedTuple):
    """A grant of a role, as it is stored: `PrivilegeSearch`, `PrivilegeGroupReaders` or `*`."""

    object_type: str
    database: str
    object: str
    privilege: str
    grantor: str


@dataclass(frozen=True, slots=True)
class Roles:
    """Some roles as of one revision.

    Attributes:
        read_revision: the store's revision at which they were read.
        grants: role -> its grants; a role that does not exist is absent.
        groups: the privilege groups that these grants name -> their privileges by API name. A
            group in a group is replaced by its privileges.
    """

    read_revision: int
    grants: Mapping[str, Sequence[Grant]]
    groups: Mapping[str, tuple[str, ...]]


@dataclass(slots=True)
class SavedRole:
    """A role of a backup."""

    name: str
    description: str = ""
    grants: list[Grant] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SavedUser:
    """A user of a backup."""

    name: str
    password: PasswordHash
    roles: tuple[str, ...] = ()


@dataclass(slots=True)
class Backup:
    """Users, roles with their grants, and custom groups with their API names of privileges."""

    users: list[SavedUser] = field(default_factory=list)
    roles: list[SavedRole] = field(default_factory=list)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
