"""Changes roles, grants and groups; an answer means that every proxy knows the change."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from vecguard.concurrency.turns import in_turns
from vecguard.errors import InvalidParameterError
from vecguard.milvus_layout.role_records import is_name
from vecguard.milvus_layout.stored_roles import Grant
from vecguard.privileges.catalogue import ADMIN, PUBLIC
from vecguard.root_coord.changes import AFTER_EVERY_REVISION, Changes
from vecguard.root_coord.session_state import (
    FullInvalidation,
    Invalidation,
    PolicyInvalidation,
    Revocation,
)
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome
from vecguard.root_coord.store.role_interface import RoleBackup, RoleStore
from vecguard.usernames import ROOT, is_storable

Revoked = Callable[[int, Mutation | None], Sequence[Revocation]]

# A proxy that reads slowly could not take a notice for each of more users.
_MOST_USERS = 100
_NO_SUCH_ROLE = Mutation(Outcome.ROLE_NOT_FOUND)
_NO_SUCH_USER = Mutation(Outcome.USER_NOT_FOUND)


class Roles:
    """Stores each change, revokes the older state at every proxy, then answers: see `Changes`.

    Names that cannot be keys of the store are refused here; what names may be beyond that, the
    proxies decide. Each change names its actor, as those of `Credentials` do.
    """

    def __init__(
        self,
        store: RoleStore,
        changes: Changes,
        *,
        role_limit: int,
        changed: Callable[[], None],
        built_in: Collection[str] = (),
    ) -> None:
        """Creates the changes of one term.

        Args:
            store: where the roles are.
            changes: runs the changes.
            role_limit: the maximum number of roles, including admin and public.
            changed: called when a change of the policy is stored, and before a proxy is notified.
            built_in: roles of the configuration. Like admin and public they are neither altered
                nor dropped.
        """
        self._store = store
        self._changes = changes
        self._role_limit = role_limit
        self._changed = changed
        self._built_in = frozenset({ADMIN, PUBLIC, *built_in})

    async def create(self, name: str, description: str, *, actor: Actor | None) -> Mutation:
        """Adds a role."""
        _require_names("role", [name])
        return await self._change_policy(
            lambda: self._store.create_role(
                name, description, role_limit=self._role_limit, actor=actor
            ),
            # The users of an earlier role of this name must not have this one.
            _of_policy_and_users(roles_only=True),
            role=name,
        )

    async def alter(self, name: str, description: str, *, actor: Actor | None) -> Mutation:
        """Replaces a role's description."""
        if name in self._built_in:
            return Mutation(Outcome.ROLE_IS_BUILT_IN)
        if not is_name(name):
            return _NO_SUCH_ROLE
        return await self._change_policy(
            lambda: self._store.alter_role(name, description, actor=actor), of_policy, role=name
        )

    async def drop(self, name: str, *, force: bool, actor: Actor | None) -> Mutation:
        """Removes a role, and takes it from its users."""
        if name in self._built_in:
            return Mutation(Outcome.ROLE_IS_BUILT_IN)
        if not is_name(name):
            return _NO_SUCH_ROLE
        return await self._change_policy(
            lambda: self._store.drop_role(name, force=force, actor=actor),
            # A role that is created again under this name must not have the users of this one.
            _of_policy_and_users(roles_only=True),
            role=name,
        )

    async def change_user(
        self, username: str, role: str, *, give: bool, actor: Actor | None
    ) -> Mutation:
        """Gives a role to a user, or takes it from the user."""
        if not is_name(role):
            return _NO_SUCH_ROLE
        if not is_storable(username):
            return _NO_SUCH_USER
        change = self._store.give_role if give else self._store.take_role

        def revoked(revision: int, _mutation: Mutation | None) -> Sequence[Revocation]:
            return [Invalidation(username, revision, roles_only=True)]

        return await self._run(
            lambda: change(username, role, actor=actor), revoked, user=username, role=role
        )

    async def change_grants(
        self, role: str, grants: Sequence[Grant], *, give: bool, actor: Actor | None
    ) -> Mutation:
        """Gives grants to a role, or revokes them, all or none."""
        if not is_name(role):
            return _NO_SUCH_ROLE
        if not grants:
            raise InvalidParameterError("the request names no grant")
        _require_grants(grants)
        return await self._change_policy(
            lambda: self._store.change_grants(role, grants, give=give, actor=actor),
            of_policy,
            role=role,
        )

    async def create_group(self, name: str, *, actor: Actor | None) -> Mutation:
        """Adds a privilege group without privileges."""
        _require_names("privilege group", [name])
        return await self._change_policy(
            lambda: self._store.create_group(name, actor=actor), of_policy, group=name
        )

    async def drop_group(self, name: str, *, actor: Actor | None) -> Mutation:
        """Removes a privilege group that no role has. Succeeds when there is no such group."""
        _require_names("privilege group", [name])
        return await self._change_policy(
            lambda: self._store.drop_group(name, actor=actor), of_policy, group=name
        )

    async def change_group(
        self, name: str, privileges: Sequence[str], *, add: bool, actor: Actor | None
    ) -> Mutation:
        """Adds privileges to a group, or removes them."""
        if not is_name(name):
            return Mutation(Outcome.GROUP_NOT_FOUND)
        _require_names("privilege", privileges)
        return await self._change_policy(
            lambda: self._store.change_group(name, privileges, add=add, actor=actor),
            of_policy,
            group=name,
        )

    async def restore(self, backup: RoleBackup, *, actor: Actor | None) -> Mutation:
        """Writes a backup of users, roles, grants and groups."""
        for user in backup.users:
            if user.username == ROOT or not is_storable(user.username):
                raise InvalidParameterError("the backup has a user whose name cannot be restored")
            _require_names("role", user.roles)
        for role in backup.roles:
            _require_names("role", [role.name])
            async for grant in in_turns(role.grants):
                _require_grants([grant])
        for group in backup.groups:
            _require_names("privilege group", [group.name])
            _require_names("privilege", group.privileges)
        _require_distinct("user", [user.username for user in backup.users])
        _require_distinct("role", [role.name for role in backup.roles])
        _require_distinct("privilege group", [group.name for group in backup.groups])
        if not (backup.users or backup.roles or backup.groups):
            return Mutation(Outcome.APPLIED)
        return await self._change_policy(
            lambda: self._store.restore(backup, actor=actor),
            # A proxy may know its users as missing.
            _of_policy_and_users(roles_only=False),
        )

    async def _change_policy(
        self, change: Callable[[], Awaitable[Mutation]], revoked: Revoked, **named: str
    ) -> Mutation:
        async def store() -> Mutation:
            try:
                return await change()
            finally:
                # Also after an error: a part may be stored, or all with the answer lost.
                self._changed()

        return await self._run(store, revoked, **named)

    async def _run(
        self, change: Callable[[], Awaitable[Mutation]], revoked: Revoked, **named: str
    ) -> Mutation:
        return await self._changes.run(
            change, revoked, self._store.revision, subject="roles", **named
        )


def of_policy(revision: int, _mutation: Mutation | None) -> Sequence[Revocation]:
    """Returns what makes every proxy read all roles again."""
    if revision == AFTER_EVERY_REVISION:
        return [FullInvalidation()]  # no later read would reach that revision
    return [PolicyInvalidation(revision)]


def _of_policy_and_users(*, roles_only: bool) -> Revoked:
    def revoked(revision: int, mutation: Mutation | None) -> Sequence[Revocation]:
        if mutation is None or len(mutation.users) > _MOST_USERS:
            return [FullInvalidation()]
        users = (
            Invalidation(username, revision, roles_only=roles_only) for username in mutation.users
        )
        return [PolicyInvalidation(revision), *users]

    return revoked


def _require_grants(grants: Iterable[Grant]) -> None:
    for grant in grants:
        _require_names("object type", [grant.object_type])
        _require_names("database", [grant.database])
        _require_names("object", [grant.object])
        _require_names("privilege", [grant.privilege])
        if "." in grant.database:
            # The key joins database and object by a dot.
            raise InvalidParameterError("the name of a database must not contain a dot")
        if not is_storable(grant.grantor):
            raise InvalidParameterError("the grantor's name cannot be stored")


def _require_names(kind: str, names: Iterable[str]) -> None:
    if not all(map(is_name, names)):
        raise InvalidParameterError(f"the {kind} has a name that cannot be stored")


def _require_distinct(kind: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise InvalidParameterError(f"the backup has the same {kind} twice")
