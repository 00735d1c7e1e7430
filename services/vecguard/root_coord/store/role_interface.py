"""Defines the interface of the store of roles. `roles.py` implements it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vecguard.etcd.reads import Snapshot
from vecguard.milvus_layout.stored_roles import Grant, StoredRole
from vecguard.root_coord.store.interface import Actor, Mutation, StoredCredential


@dataclass(frozen=True, slots=True)
class PrivilegeGroup:
    """A privilege group. `privileges` are names of Milvus's API: "Search", or a group's name."""

    name: str
    privileges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolesAndGroups:
    """Roles with their grants, and the groups that the grants name, flattened."""

    roles: tuple[StoredRole, ...] = ()
    groups: tuple[PrivilegeGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleBackup:
    """All users, roles, grants and groups, without those that are in every store."""

    users: tuple[StoredCredential, ...] = ()
    roles: tuple[StoredRole, ...] = ()
    groups: tuple[PrivilegeGroup, ...] = ()


class RoleStore(Protocol):
    """Offers linearizable reads, each of one revision, and guarded changes.

    Each method raises UnavailableError when the store cannot be reached; a change raises
    OutcomeUnknownError when it may or may not have been applied, and is safe to repeat. A change
    that finds the store as it should become is APPLIED at a revision at which it was so, because
    an earlier attempt may not have reached all proxies.

    A change is applied only while its actor is valid, as in `CredentialStore`. Records that cannot
    be read are logged and left out, and harm no others.
    """

    async def revision(self) -> int:
        """Returns the store's newest revision."""
        ...

    async def get_roles(
        self, names: Sequence[str], *, revision: int = 0
    ) -> Snapshot[RolesAndGroups]:
        """Returns those of these roles that exist, without their users.

        Grants on a collection that is being dropped or renamed are left out.
        At the newest revision, or at the given one. Raises CompactedError if that is compacted.
        """
        ...

    async def list_roles(self) -> Snapshot[tuple[StoredRole, ...]]:
        """Returns all roles in alphabetical order, without their grants."""
        ...

    async def list_groups(self) -> Snapshot[tuple[PrivilegeGroup, ...]]:
        """Returns the custom groups in alphabetical order, then the built-in ones."""
        ...

    async def back_up(self) -> Snapshot[RoleBackup]:
        """Returns all but root, admin, public and what belongs to them."""
        ...

    async def restore(self, backup: RoleBackup, *, actor: Actor | None) -> Mutation:
        """Writes a backup, unless something of it exists or something it names does not.

        A large backup takes several transactions: first groups and grants of roles that do not
        exist yet, then roles, then users, so that no user has a part of its rights.
        """
        ...

    async def create_role(
        self, name: str, description: str, *, role_limit: int | None, actor: Actor | None
    ) -> Mutation:
        """Adds a role, unless the name is taken or `role_limit` roles exist.

        Grants and users that are left from an earlier role of that name are removed.
        """
        ...

    async def alter_role(self, name: str, description: str, *, actor: Actor | None) -> Mutation:
        """Replaces the description."""
        ...

    async def drop_role(self, name: str, *, force: bool, actor: Actor | None) -> Mutation:
        """Removes a role and takes it from its users, which the result names.

        A role with grants is dropped only by force, together with the grants.
        """
        ...

    async def give_role(self, username: str, role: str, *, actor: Actor | None) -> Mutation: ...

    async def take_role(self, username: str, role: str, *, actor: Actor | None) -> Mutation:
        """Takes a role from a user, who need not exist."""
        ...

    async def change_grants(
        self, role: str, grants: Sequence[Grant], *, give: bool, actor: Actor | None
    ) -> Mutation:
        """Gives or revokes grants of a role, all or none.

        Gives none on a collection that is being dropped or renamed: COLLECTION_CHANGING.
        """
        ...

    async def ensure_roles(self, roles: Mapping[str, Sequence[Grant]]) -> None:
        """Creates the roles and grants that are missing, and writes nothing otherwise."""
        ...

    async def create_group(self, name: str, *, actor: Actor | None) -> Mutation: ...

    async def drop_group(self, name: str, *, actor: Actor | None) -> Mutation:
        """Removes a group that no role has. Succeeds when there is no such group."""
        ...

    async def change_group(
        self, name: str, privileges: Sequence[str], *, add: bool, actor: Actor | None
    ) -> Mutation:
        """Adds privileges to a group, or removes them."""
        ...
