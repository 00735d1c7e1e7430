"""Says which databases and collections Milvus's lists show to a user.

Milvus's root coord shows a database if a grant of the user's roles names it, and a collection if a
grant names it that is for collections; `*` shows all. Grants of the role public show nothing:
every user has them, and they are for everything. Two rules are ours: names in grants are patterns
here as in every decision, and a privilege to list shows all that it lists. Milvus shows no
collection to a user who has only the group DatabaseReadOnly.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vecguard.privileges.catalogue import COLLECTION, PUBLIC, V1_ALL, Catalogue, Level
from vecguard.privileges.stored_names import ANY, api_name, stored_privilege
from vecguard.proxy.authorization.patterns import compiled, is_literal
from vecguard.proxy.authorization.policy import Grant, RolePolicy

if TYPE_CHECKING:
    import re

_LIST_DATABASES: Final = stored_privilege("ListDatabases")
_SHOW_COLLECTIONS: Final = stored_privilege("ShowCollections")
# v1 groups for a database as a whole, and v1 groups for a collection.
_V1_OF_DATABASE: Final = frozenset(map(stored_privilege, (V1_ALL, "Admin")))
_V1_OF_COLLECTION: Final = frozenset(map(stored_privilege, ("ReadOnly", "ReadWrite")))
_CATALOGUE: Final = Catalogue()
# Databases whose collections are kept together. Bounded, because clients choose databases.
_MAX_DATABASES: Final = 64


class Names:
    """A set of names, some of them given by patterns.

    Attributes:
        has_all: whether every name is in it.
    """

    __slots__ = ("_names", "_patterns", "has_all")

    def __init__(self) -> None:
        self.has_all = False
        self._names: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []

    def add(self, text: str) -> None:
        """Adds the names that match; an invalid pattern adds none."""
        if text == ANY:
            self.has_all = True
        elif is_literal(text):
            self._names.add(text)
        else:
            pattern = compiled(text)
            if pattern is not None:
                self._patterns.append(pattern)

    def update(self, others: "Names") -> None:
        """Adds all names of another set."""
        self.has_all |= others.has_all
        self._names |= others._names  # noqa: SLF001 - of this class
        self._patterns += others._patterns  # noqa: SLF001 - of this class

    def __contains__(self, name: str) -> bool:
        return (
            self.has_all
            or name in self._names
            or any(pattern.fullmatch(name) for pattern in self._patterns)
        )


class Visibility:
    """What lists show to a user.

    Attributes:
        databases: the databases that the user sees.
    """

    def __init__(self, roles: Sequence[RolePolicy]) -> None:
        """Takes all roles of a user. None of them is `admin`, who sees everything."""
        self.databases = Names()
        #: By the database of the grants, which may be a pattern.
        self._granted: dict[str, Names] = {}
        self._collections: dict[str, Names] = {}
        for role in roles:
            if role.name != PUBLIC:
                for grant, members in role.grants():
                    self._add(grant, members)

    def collections(self, database: str) -> Names:
        """Returns the collections that the user sees in a database."""
        names = self._collections.get(database)
        if names is None:
            names = Names()
            for text, granted in self._granted.items():
                if _matches(text, database):
                    names.update(granted)
            if len(self._collections) >= _MAX_DATABASES:
                self._collections.clear()
            self._collections[database] = names
        return names

    def _add(self, grant: Grant, members: Sequence[str] | None) -> None:
        self.databases.add(grant.database)
        if _LIST_DATABASES in (members or (grant.privilege,)):
            self.databases.add(ANY)
        if _shows_all_collections(grant, members):
            shown = ANY
        elif _names_collections(grant, members):
            shown = grant.object
        else:
            return
        self._granted.setdefault(grant.database, Names()).add(shown)


def _shows_all_collections(grant: Grant, members: Sequence[str] | None) -> bool:
    if members is not None:
        return _SHOW_COLLECTIONS in members or not _V1_OF_DATABASE.isdisjoint(members)
    return grant.object_type != COLLECTION and (
        grant.privilege in _V1_OF_DATABASE or _matches(grant.privilege, _SHOW_COLLECTIONS)
    )


def _names_collections(grant: Grant, members: Sequence[str] | None) -> bool:
    if members is not None:
        # Custom groups have no level.
        return _CATALOGUE.level_of(api_name(grant.privilege)) in (None, Level.COLLECTION)
    return grant.object_type == COLLECTION or grant.privilege in _V1_OF_COLLECTION


def _matches(text: str, name: str) -> bool:
    """Returns whether a text of a grant, as a pattern, matches a name."""
    if is_literal(text):
        return text == name
    pattern = compiled(text)
    return pattern is not None and pattern.fullmatch(name) is not None
