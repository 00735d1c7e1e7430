"""Says which objects the roles of a user allow, by the rule of Milvus's proxy.

Milvus asks for each role and each of its grants (see its matcher for casbin):

- a grant `<type>-<database>.<object>` and its privilege are patterns, which the request's object
  and privilege match; or
- the grant is of a v1 group in a database that equals the request's, the group has the
  privilege, and for the groups of collections the object is the same, or `*` on either side.

Milvus's root coord prepares the grants for that: it replaces v2 groups by their members, and gives
each grant the object type of its privilege. A grant whose pattern is invalid allows nothing.

What matters for one need, which is an object type with a privilege, is found at the first request
and kept: sets of objects and databases, and compiled patterns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vecguard.privileges.catalogue import (
    ADMIN,
    GLOBAL,
    OBJECT_TYPES,
    USER,
    V1_ALL,
    V1_GROUPS,
    object_type_of,
)
from vecguard.privileges.stored_names import ANY, api_name, stored_group, stored_privilege
from vecguard.proxy.authorization.patterns import compiled, is_literal

if TYPE_CHECKING:
    import re

_EVERYWHERE: Final = "*.*"
# The maximum number of keys of several roles that are joined for a user: more need too much memory.
_MAX_JOINED_KEYS: Final = 1000
# What a v1 group allows, as stored. None: everything.
_V1_MEMBERS: Final[dict[str, frozenset[str] | None]] = {
    stored_privilege(V1_ALL): None,
    **{
        stored_privilege(group): frozenset(map(stored_privilege, members))
        for group, members in V1_GROUPS.items()
    },
}
# The others are about a database as a whole.
_V1_OF_COLLECTION: Final = frozenset(map(stored_privilege, ("ReadOnly", "ReadWrite")))


class Grant:
    """Allows a role to use a privilege on an object, as it is stored.

    Attributes:
        object_type: "Collection", "Global" or "User"; a grant of any other type allows nothing.
        database: a name or a pattern.
        object: a name or a pattern.
        privilege: such as "PrivilegeSearch", "PrivilegeGroupReaders" or "*".
    """

    __slots__ = ("database", "object", "object_type", "privilege")

    def __init__(
        self,
        object_type: str,
        database: str,
        object: str,  # noqa: A002 - Milvus's word
        privilege: str,
    ) -> None:
        self.object_type = object_type
        self.database = database
        self.object = object
        self.privilege = privilege

    def __repr__(self) -> str:
        return f"Grant({self.object_type}, {self.database}, {self.object}, {self.privilege})"


class _RoleScope:
    """The objects on which one role allows one privilege. A key is `<database>.<name>`."""

    __slots__ = ("databases", "everywhere", "keys", "partly", "patterns")

    def __init__(self) -> None:
        self.everywhere = False
        #: Databases of which every object is allowed.
        self.databases: set[str] = set()
        self.keys: set[str] = set()
        #: The databases of the keys.
        self.partly: set[str] = set()
        self.patterns: list[re.Pattern[str]] = []

    def add(self, database: str, name: str) -> None:
        key = f"{database}.{name}"
        if is_literal(key):
            self.keys.add(key)
            self.partly.add(database)
        elif key == _EVERYWHERE:
            self.everywhere = True
        elif name == ANY and is_literal(database):
            self.databases.add(database)
        else:
            pattern = compiled(key)
            if pattern is not None:
                self.patterns.append(pattern)

    def add_v1(self, group: str, database: str, name: str) -> None:
        if group in _V1_OF_COLLECTION and name != ANY:
            # A request for every object is one for the collection, too.
            self.keys.update((f"{database}.{name}", f"{database}.{ANY}"))
            self.partly.add(database)
        else:
            self.databases.add(database)


class _Scope:
    """The objects on which one or more roles allow one privilege; large sets are the roles' own."""

    __slots__ = ("databases", "everywhere", "keys", "patterns")

    def __init__(self, scopes: Sequence[_RoleScope]) -> None:
        self.everywhere = any(scope.everywhere for scope in scopes)
        self.databases = [scope.databases for scope in scopes if scope.databases]
        self.keys = [scope.keys for scope in scopes if scope.keys]
        if len(self.keys) > 1 and sum(map(len, self.keys)) <= _MAX_JOINED_KEYS:
            self.keys = [set().union(*self.keys)]
        self.patterns = [pattern for scope in scopes for pattern in scope.patterns]

    def is_empty(self) -> bool:
        return not (self.everywhere or self.databases or self.keys or self.patterns)

    def has(self, database: str, key: str) -> bool:
        if self.everywhere:
            return True
        for keys in self.keys:
            if key in keys:
                return True
        for databases in self.databases:
            if database in databases:
                return True
        for pattern in self.patterns:  # noqa: SIM110 - any() would make a generator for each call
            if pattern.fullmatch(key):
                return True
        return False


class RolePolicy:
    """What one role allows. The users who have the role share it."""

    __slots__ = ("_grants", "_members", "_scopes", "_shared", "name")

    def __init__(
        self, name: str, grants: Iterable[Grant], groups: Mapping[str, Sequence[str]]
    ) -> None:
        """Takes the grants of a role.

        Args:
            name: `admin` may do everything.
            grants: a grant that cannot be used allows nothing, and harms no other.
            groups: the members of each v2 group that a grant names, all by API name.
        """
        self.name = name
        #: By privilege or group as stored.
        self._grants: dict[str, list[Grant]] = {}
        for grant in grants:
            if grant.object_type in OBJECT_TYPES:
                self._grants.setdefault(grant.privilege, []).append(grant)
        #: Privileges as stored, by group as stored.
        self._members: dict[str, list[str]] = {}
        for stored in self._grants:
            group = api_name(stored)
            if group in groups and stored == stored_group(group) and stored not in _V1_MEMBERS:
                self._members[stored] = [stored_privilege(member) for member in groups[group]]
        self._scopes: dict[tuple[str, str], _RoleScope] = {}
        #: By object type and `_sources`. The privileges of one group need one scope, not thirty.
        self._shared: dict[tuple[str, tuple[tuple[str, str], ...]], _RoleScope] = {}

    def scope(self, object_type: str, privilege: str) -> _RoleScope:
        """Returns where the role allows a privilege on objects of a type."""
        need = (object_type, privilege)
        scope = self._scopes.get(need)
        if scope is None:
            scope = self._scopes[need] = self._new_scope(object_type, privilege)
        return scope

    def granting(self, object_type: str, privilege: str, database: str, name: str) -> Grant | None:
        """Returns the first grant that allows a privilege on an object. Slow with many grants."""
        for stored, kind in self._sources(privilege):
            for grant in self._grants[stored]:
                scope = _RoleScope()
                _add(scope, object_type, kind, [grant])
                if _Scope([scope]).has(database, f"{database}.{name}"):
                    return grant
        return None

    def grants(self) -> Iterator[tuple[Grant, Sequence[str] | None]]:
        """Yields each grant with the members, as stored, of its v2 group; None without one."""
        for stored, grants in self._grants.items():
            members = self._members.get(stored)
            for grant in grants:
                yield grant, members

    def _new_scope(self, object_type: str, privilege: str) -> _RoleScope:
        sources = tuple(self._sources(privilege))
        scope = self._shared.get((object_type, sources))
        if scope is None:
            scope = self._shared[object_type, sources] = _RoleScope()
            for stored, kind in sources:
                _add(scope, object_type, kind, self._grants[stored])
        return scope

    def _sources(self, privilege: str) -> Iterator[tuple[str, str]]:
        """Yields the privileges and groups, as stored, whose grants are about a privilege.

        With each comes the object type of these grants, a v1 group, or "" for the stored type: all
        that `_add` has to know of the privilege.
        """
        for stored in self._grants:
            for granted in self._members.get(stored, [stored]):
                if _applies(granted, privilege):
                    if granted in _V1_MEMBERS:
                        yield stored, granted
                    else:
                        yield (
                            stored,
                            object_type_of(api_name(granted)) if is_literal(granted) else "",
                        )


class Rights:
    """What a user may do by the user's roles.

    A database or a collection whose name has a `.`, and every name with a `/`, is refused to all
    but admins: Milvus has no such objects, and these characters separate the parts of a grant's
    key.

    Results are kept for each pair of object type and privilege. Pass only pairs that methods need.

    Attributes:
        is_admin: whether the user may do everything.
        roles: all roles of the user.
        read_revision: the store's revision at which the roles were read; 0 if they are not stored.
        note: for the code that decides by the rights, which keeps what follows from them here.
    """

    __slots__ = ("_scopes", "_shared", "is_admin", "note", "read_revision", "roles")

    def __init__(self, roles: Sequence[RolePolicy], read_revision: int = 0) -> None:
        """Takes all roles of a user, `public` included."""
        self.read_revision = read_revision
        self.is_admin = any(role.name == ADMIN for role in roles)
        self.roles = tuple(roles)
        self.note: Any = None
        self._scopes: dict[tuple[str, str], _Scope] = {}
        #: By the scopes of the roles, which several privileges share.
        self._shared: dict[tuple[_RoleScope, ...], _Scope] = {}

    def allows(self, object_type: str, privilege: str, database: str, name: str) -> bool:
        """Returns whether a privilege, as stored, is allowed on an object."""
        if self.is_admin:
            return True
        key = f"{database}.{name}"
        return _can_exist(object_type, database, name) and self._scope(object_type, privilege).has(
            database, key
        )

    def allows_all(
        self,
        object_type: str,
        privilege: str,
        database: str,
        names: Sequence[str],
        targets: Sequence[str] = (),
    ) -> bool:
        """Returns whether one role allows a privilege on every object; False for no names.

        With `targets`, an object may be allowed by its name or by its target.
        """
        if self.is_admin:
            return bool(names)
        return self._allowing(object_type, privilege, database, names, targets) is not None

    def granting(
        self,
        object_type: str,
        privilege: str,
        database: str,
        names: Sequence[str],
        targets: Sequence[str] = (),
    ) -> tuple[str, tuple[Grant, ...]] | None:
        """Returns the first role that allows a privilege on every object, and its grant for each.

        With `targets`, an object may be allowed by its name or by its target. None if there is no
        such role; an admin needs none. Slow with many grants.
        """
        role = self._allowing(object_type, privilege, database, names, targets)
        if role is None:
            return None
        found = [
            role.granting(object_type, privilege, database, name)
            or role.granting(object_type, privilege, database, target)
            for name, target in zip(names, targets or names, strict=True)
        ]
        return role.name, tuple(grant for grant in found if grant is not None)

    def role_allowing(
        self,
        object_type: str,
        privilege: str,
        database: str,
        names: Sequence[str],
        targets: Sequence[str] = (),
    ) -> str | None:
        """Returns the name of the first role that allows a privilege on every object, or None.

        With `targets`, an object may be allowed by its name or by its target.
        """
        role = self._allowing(object_type, privilege, database, names, targets)
        return None if role is None else role.name

    def role_allowing_everywhere(self, object_type: str, privilege: str) -> str | None:
        """Returns the name of the first role that allows a privilege on every object, or None."""
        for role in self.roles:
            if role.scope(object_type, privilege).everywhere:
                return role.name
        return None

    def allows_some_in(self, object_type: str, privilege: str, database: str) -> bool:
        """Returns whether a privilege may be allowed on some object of a database."""
        if self.is_admin:
            return True
        scope = self._scope(object_type, privilege)
        if scope.everywhere or scope.patterns:
            return True
        scopes = [role.scope(object_type, privilege) for role in self.roles]
        return any(database in each.databases or database in each.partly for each in scopes)

    def allows_everywhere(self, object_type: str, privilege: str) -> bool:
        """Returns whether a privilege is allowed on every object that can exist.

        False may also mean that the object has to be known.
        """
        return self.is_admin or self._scope(object_type, privilege).everywhere

    def allows_nowhere(self, object_type: str, privilege: str) -> bool:
        """Returns whether a privilege is allowed on no object.

        False may also mean that the object has to be known.
        """
        return not self.is_admin and self._scope(object_type, privilege).is_empty()

    def _allowing(
        self,
        object_type: str,
        privilege: str,
        database: str,
        names: Sequence[str],
        targets: Sequence[str] = (),
    ) -> RolePolicy | None:
        """Returns the first role that allows a privilege on every object; None for no names."""
        choices = [
            [f"{database}.{name}" for name in choice if _can_exist(object_type, database, name)]
            for choice in zip(names, targets or names, strict=True)
        ]
        if not choices:
            return None
        for role in self.roles:
            scope = _Scope([role.scope(object_type, privilege)])
            if all(any(scope.has(database, key) for key in keys) for keys in choices):
                return role
        return None

    def _scope(self, object_type: str, privilege: str) -> _Scope:
        need = (object_type, privilege)
        scope = self._scopes.get(need)
        if scope is None:
            scopes = tuple([role.scope(object_type, privilege) for role in self.roles])
            scope = self._shared.get(scopes)
            if scope is None:
                scope = self._shared[scopes] = _Scope(scopes)
            self._scopes[need] = scope
        return scope


def _applies(granted: str, privilege: str) -> bool:
    """Returns whether a grant of a privilege, a pattern or a v1 group is about a privilege."""
    if granted in _V1_MEMBERS:
        members = _V1_MEMBERS[granted]
        return members is None or privilege in members
    if is_literal(granted):
        return granted == privilege
    pattern = compiled(granted)
    return pattern is not None and pattern.fullmatch(privilege) is not None


def _add(scope: _RoleScope, object_type: str, kind: str, grants: Sequence[Grant]) -> None:
    """Adds to a scope what grants allow on objects of a type; see `RolePolicy._sources`.

    As in Milvus, the object type is the privilege's own, whatever is stored: Milvus 2.5 stored some
    as Global. A grant of type Global is for the whole database, whatever object it names. A pattern
    keeps the stored type.
    """
    for grant in grants:
        if kind in _V1_MEMBERS:
            scope.add_v1(kind, grant.database, grant.object)
        elif (kind or grant.object_type) == object_type:
            scope.add(grant.database, ANY if object_type == GLOBAL else grant.object)


def _can_exist(object_type: str, database: str, name: str) -> bool:
    if "." in database or "/" in database or "/" in name:
        return False
    return "." not in name or object_type == USER
