"""Says on what a privilege is granted, from the arguments of a command."""

from dataclasses import dataclass
from typing import Final

from vecguard.cli.exit_codes import UsageError
from vecguard.privileges.catalogue import (
    GLOBAL,
    PRIVILEGES,
    USER,
    Catalogue,
    Level,
    object_type_of,
)
from vecguard.privileges.stored_names import ANY

_CATALOGUE: Final = Catalogue()
#: Milvus's name of the database that calls without a name mean.
DEFAULT_DATABASE: Final = "default"


@dataclass(frozen=True, slots=True)
class GrantScope:
    """On what a privilege is granted; "*" for all.

    Attributes:
        database: a database.
        collection: a collection; for a privilege on users, such as `SelectUser`, a user.
    """

    database: str
    collection: str

    def __str__(self) -> str:
        """The argument of commands that means the same."""
        return f"{self.database}.{self.collection}"


@dataclass(frozen=True, slots=True)
class GivenScope:
    """The parts of a scope that a command was given; None for a part that was not given."""

    database: str | None
    collection: str | None

    @classmethod
    def of(cls, target: str | None, database: str | None, collection: str | None) -> "GivenScope":
        """Joins the argument `[DATABASE.]COLLECTION` and the options.

        Raises:
            UsageError: a part is given twice or empty, or the argument has a further dot.
        """
        if target is not None:
            if collection is not None:
                raise UsageError(f"{target} and --collection both name a collection")
            start, dot, collection = target.rpartition(".")
            if dot:
                if database is not None:
                    raise UsageError(f"{target} and --database both name a database")
                database = start
            if database is not None and "." in database:
                raise UsageError(f"{target} has more than one dot; give DATABASE.COLLECTION")
        if database == "" or collection == "":
            raise UsageError("a database or a collection is empty; for all say '*'")
        return cls(database, collection)


def scope_of(privilege: str, given: GivenScope, *, revoke: bool = False) -> GrantScope:
    """Returns on what to grant or revoke a privilege or a group, by its level.

    What is not given is `*` for a privilege of the cluster, and database `default` for the others.
    To revoke, every scope is possible, because a grant without an effect may be stored.

    Raises:
        UsageError: the grant would hold for something else, or it is not clear for what it should.
    """
    level = _level_of(privilege)
    if not revoke:
        _require_effect(privilege, level, given)
    if given.collection is None and level not in (Level.CLUSTER, Level.DATABASE):
        kind = "a privilege of collections" if level else "no privilege or group that is built in"
        raise UsageError(
            f"{privilege} is {kind}: say on which collection, such as books or sales.books, "
            "or '*' for all of the database"
        )
    database = ANY if level is Level.CLUSTER else DEFAULT_DATABASE
    return GrantScope(given.database or database, given.collection or ANY)


def _level_of(privilege: str) -> Level | None:
    """Returns on what a privilege can be granted; None for groups that are not built in.

    Some privileges that Milvus counts among those of collections, such as DescribeCollection, hold
    for the whole database, whatever collection a grant names.
    """
    level = _CATALOGUE.level_of(privilege)
    if (
        level is Level.COLLECTION
        and privilege in PRIVILEGES
        and object_type_of(privilege) == GLOBAL
    ):
        return Level.DATABASE
    return level


def _require_effect(privilege: str, level: Level | None, given: GivenScope) -> None:
    """Raises UsageError for a database or a collection where the level has none."""
    names_collection = given.collection not in (None, ANY)
    if level is Level.CLUSTER:
        if given.database not in (None, ANY):
            raise UsageError(f"{privilege} holds for the whole cluster: leave the database out")
        if names_collection and object_type_of(privilege) != USER:
            raise UsageError(f"{privilege} holds for the whole cluster: leave the collection out")
    if level is Level.DATABASE and names_collection:
        raise UsageError(
            f"{privilege} holds for a whole database: say --database "
            f"{given.database or given.collection} and no collection"
        )


def arguments_of(privilege: str, scope: GrantScope) -> list[str]:
    """Returns the shortest arguments of `role grant` by which a privilege gets this scope."""
    if scope.collection == ANY and _level_of(privilege) in (Level.CLUSTER, Level.DATABASE):
        is_default = scope == scope_of(privilege, GivenScope(None, None))
        return [] if is_default else ["--database", scope.database]
    if _level_of(privilege) is Level.CLUSTER:
        # A user's name may have dots.
        return ["--collection", scope.collection]
    return [str(scope)]
