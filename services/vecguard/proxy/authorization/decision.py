"""Decides whether a user may make a call: the rule of Milvus, on the fields of one request.

Milvus's own rule is spread over its privilege
interceptor and casbin's matcher; here the matcher is `policy.Rights`.
"""

import re
from collections.abc import Collection
from typing import Final

from vecguard.errors import InvalidParameterError
from vecguard.privileges.catalogue import COLLECTION, PUBLIC
from vecguard.privileges.stored_names import ANY
from vecguard.proxy.authorization.errors import PermissionDeniedError
from vecguard.proxy.authorization.methods import Need
from vecguard.proxy.authorization.policy import Rights
from vecguard.proxy.authorization.request_fields import RequestFields

DEFAULT_DATABASE: Final = "default"
# In the names of policies these are separators and patterns. Milvus allows none of them in the
# name of a database or a collection.
_has_special = re.compile(r"[.*?\[\]\\/]").search


def database_of_header(values: list[bytes]) -> str:
    """Returns the database of the header `dbname`; "default" if it is absent or empty.

    Raises:
        InvalidParameterError: there are two values, of which backends take different ones, or
            the value is not UTF-8.
    """
    if not values:
        return DEFAULT_DATABASE
    if len(values) > 1:
        raise InvalidParameterError("the request has more than one header `dbname`")
    try:
        return values[0].decode() or DEFAULT_DATABASE
    except UnicodeDecodeError:
        raise InvalidParameterError("the header `dbname` is not UTF-8") from None


def require_possible(database: str) -> None:
    """Raises InvalidParameterError if no database has such a name."""
    if _has_special(database):
        raise InvalidParameterError(f"invalid database name {database!r}")


class Question:
    """What a call needs. The answer changes with the user's rights.

    Attributes:
        database: by whose grants it is decided; "*" for all.
        names: the objects that must all be allowed; "*" where the method names none.
        targets: for each name the collection that it refers to as an alias, which may be the
            name itself or unknown (""); empty before it was looked up.
    """

    __slots__ = ("_need", "_role", "_username", "database", "names", "targets")

    def __init__(
        self, need: Need, username: str, database: str, fields: RequestFields | None
    ) -> None:
        """Reads the fields of a request; None where the need does not depend on them.

        `database` is that of the header.

        Raises:
            InvalidParameterError: a name has characters that no database or collection has.
        """
        self._need = need
        self._username = username
        self._role = ""
        self.names: tuple[str, ...] = (ANY,)
        self.targets: tuple[str, ...] = ()
        moves = False
        if fields is not None:
            database = fields.database or database
            moves = fields.other_database not in ("", database)
            self._role = fields.role
            self.names = fields.names
            if need.object_type == COLLECTION:
                for name in fields.names:
                    if _has_special(name):
                        raise InvalidParameterError(f"invalid collection name {name!r}")
        if database != DEFAULT_DATABASE:
            require_possible(database)
        self.database = ANY if need.cluster or moves else database

    def refusal(self) -> PermissionDeniedError:
        """Returns the error for a user without permission."""
        return PermissionDeniedError(self._need.privilege, self._username, self.database)

    def is_allowed(self, rights: Rights, roles: Collection[str]) -> bool:
        """Returns whether a user with these rights and roles may call.

        Without a grant, users may do what concerns only themselves, and see their own roles. A
        collection may be called by its name or an alias: either may be granted.
        """
        need, names, targets = self._need, self.names, self.targets
        if rights.is_admin or ((need.is_own or self._role != "") and self.concerns_self(roles)):
            return True
        if need.names:
            return rights.allows_all(
                need.object_type, need.privilege, self.database, names, targets
            )
        return rights.allows(need.object_type, need.privilege, self.database, names[0]) or (
            targets != ()
            and rights.allows(need.object_type, need.privilege, self.database, targets[0])
        )

    def role_allowing(self, rights: Rights) -> str | None:
        """Returns the first role whose grants allow the call; None if none does."""
        need = self._need
        return rights.role_allowing(
            need.object_type, need.privilege, self.database, self.names, self.targets
        )

    def concerns_self(self, roles: Collection[str]) -> bool:
        """Returns whether it is about nothing but the user, or a role of the user."""
        if self._need.is_own and self.names == (self._username,):
            return True
        return self._role != "" and (self._role in roles or self._role == PUBLIC)

    def may_name_alias(self, rights: Rights) -> bool:
        """Returns whether the answer can depend on what the names refer to as aliases."""
        need = self._need
        return (
            need.object_type == COLLECTION
            and self.database != ANY
            and all(self.names)
            and rights.allows_some_in(need.object_type, need.privilege, self.database)
        )


def can_be_collection(name: str) -> bool:
    """Returns whether a collection can have this name."""
    return name != "" and not _has_special(name)
