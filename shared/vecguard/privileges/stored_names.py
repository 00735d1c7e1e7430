"""Translates names of privileges: Milvus's API says `Search`, its store says `PrivilegeSearch`.

A group `Readers` is stored as `PrivilegeGroupReaders`. So are the three groups of Milvus before
2.5, which its API treats as privileges: `ReadOnly` is stored as `PrivilegeGroupReadOnly`.
"""

from typing import Final

#: Every object, or every privilege.
ANY: Final = "*"

_PRIVILEGE: Final = "Privilege"
_GROUP: Final = "PrivilegeGroup"
_OLD_GROUPS: Final = frozenset({"ReadOnly", "ReadWrite", "Admin"})


def stored_privilege(name: str) -> str:
    """Returns how a grant of a privilege is stored; `*` stays as it is."""
    if name == ANY:
        return ANY
    return stored_group(name) if name in _OLD_GROUPS else _PRIVILEGE + name


def stored_group(name: str) -> str:
    """Returns how a grant of a built-in or custom group is stored."""
    return _GROUP + name


def api_name(stored: str) -> str:
    """Returns the name in the API of what is stored; without a known prefix, the same."""
    if stored.startswith(_GROUP):
        return stored.removeprefix(_GROUP)
    return stored.removeprefix(_PRIVILEGE)
