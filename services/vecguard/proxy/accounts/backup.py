"""Saves all users, roles, grants and privilege groups, and restores them."""

from collections.abc import Collection, Iterator
from typing import Final, Protocol

from vecguard.concurrency.turns import in_turns
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.passwords import MAX_COST, MIN_COST
from vecguard.privileges.catalogue import ADMIN, V1_GRANTABLE, Catalogue
from vecguard.privileges.stored_names import ANY, stored_group, stored_privilege
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.milvus_wire import RbacMeta, password_hash
from vecguard.proxy.accounts.names import NameRules, check_database, check_group_name
from vecguard.proxy.accounts.records import Backup, Grant, SavedRole, SavedUser
from vecguard.proxy.accounts.role_errors import RestoreError, description_error
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal
from vecguard.usernames import ROOT, is_storable

_DEFAULT_DATABASE: Final = "default"
#: The error of a refused restore, and its reason for the audit log; `{}` is the name in root
#: coord's reply.
_COMPLAINTS: Final = {
    pb.MutationOutcome.ROLE_EXISTS: ("role [{}] already exists", "role_exists"),
    pb.MutationOutcome.GROUP_EXISTS: ("privilege group [{}] already exists", "group_exists"),
    pb.MutationOutcome.GROUP_NAME_TAKEN: ("privilege group [{}] already exists", "group_exists"),
    pb.MutationOutcome.PRIVILEGE_NOT_FOUND: (
        "privilege [{}] does not exist",
        "invalid_parameter",
    ),
    pb.MutationOutcome.LEVELS_DIFFER: (
        "privileges are not the same privilege level in the privilege group [{}]",
        "invalid_parameter",
    ),
    pb.MutationOutcome.USER_EXISTS: ("user [{}] already exists", "user_exists"),
    pb.MutationOutcome.ROLE_NOT_FOUND: ("role [{}] does not exist", "role_not_found"),
    pb.MutationOutcome.USER_LIMIT_REACHED: (
        "unable to add user because the number of users has reached the limit",
        "user_limit",
    ),
    pb.MutationOutcome.ROLE_LIMIT_REACHED: (
        "unable to create role because the number of roles has reached the limit",
        "role_limit",
    ),
}


class BackupDirectory(Protocol):
    """The requests to root coord that backups need."""

    async def list_groups(self) -> list[pb.PrivilegeGroup]: ...

    async def back_up(self) -> Backup: ...

    async def restore(self, backup: Backup, *, asked_by: Principal) -> pb.MutationReply: ...


class Backups:
    """Implements Milvus's RPCs about backups."""

    def __init__(
        self,
        directory: BackupDirectory,
        changes: Changes,
        *,
        names: NameRules,
        catalogue: Catalogue,
        max_description_bytes: int,
    ) -> None:
        self._directory = directory
        self._changes = changes
        self._names = names
        self._catalogue = catalogue
        self._max_description_bytes = max_description_bytes

    async def back_up(self) -> Backup:
        """Returns everything but root, admin, public and the grants of public."""
        return await self._directory.back_up()

    async def restore(self, caller: Caller, meta: RbacMeta) -> int | None:
        """Adds all that a backup has, or nothing. Returns the revision, None for an empty backup.

        Raises what changes of `RoleAccounts` raise.
        """
        self._changes.require(caller)
        roles = await self._roles(meta)
        groups = await self._groups(meta)
        await self._add_grants(caller, meta, roles, groups)
        users = [user async for user in in_turns(self._users(meta))]
        backup = Backup(users, list(roles.values()), groups)
        if not (users or roles or groups):
            return None
        reply = await self._directory.restore(backup, asked_by=caller.principal)
        if reply.outcome in _COMPLAINTS:
            complaint, reason = _COMPLAINTS[pb.MutationOutcome(reply.outcome)]
            raise RestoreError(complaint.format(reply.detail), reason=reason)
        return self._changes.revision(caller, reply)

    async def _roles(self, meta: RbacMeta) -> dict[str, SavedRole]:
        roles: dict[str, SavedRole] = {}
        async for name, description in in_turns(meta.roles):
            self._names.check_role(name)
            length = len(description.encode())
            if length > self._max_description_bytes:
                raise description_error(length, self._max_description_bytes)
            if name in roles:
                raise RestoreError(f"role [{name}] already exists", reason="role_exists")
            roles[name] = SavedRole(name, description)
        return roles

    async def _groups(self, meta: RbacMeta) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {}
        async for name, privileges in in_turns(meta.groups):
            check_group_name(name)
            if name in groups:
                raise RestoreError(
                    f"privilege group [{name}] already exists", reason="group_exists"
                )
            for privilege in privileges:
                self._names.check(privilege, "Privilege")
            groups[name] = tuple(privileges)
        return groups

    async def _add_grants(
        self,
        caller: Caller,
        meta: RbacMeta,
        roles: dict[str, SavedRole],
        groups: Collection[str],
    ) -> None:
        """Adds the checked grants to their roles."""
        if not meta.grants:
            return
        existing = [group.name for group in await self._directory.list_groups()]
        known = {*existing, *groups}
        grantor = caller.principal.username or ROOT
        async for role, grant in in_turns(meta.grants):
            # The role may do everything, and its grants change nothing; Milvus saves them.
            if role == ADMIN:
                continue
            if role not in roles:
                raise RestoreError(f"role [{role}] does not exist", reason="role_not_found")
            roles[role].grants.append(self._checked(grant, known, grantor))

    def _checked(self, grant: Grant, groups: Collection[str], grantor: str) -> Grant:
        """Returns a grant as it is stored."""
        if grant.object_type not in V1_GRANTABLE:
            raise RestoreError(f"object type [{grant.object_type}] does not exist")
        self._names.check_object(grant.object, "object name")
        database = grant.database or _DEFAULT_DATABASE
        check_database(database)
        if grant.privilege == ANY or self._catalogue.is_privilege(grant.privilege):
            stored = stored_privilege(grant.privilege)
        elif grant.privilege in groups:
            stored = stored_group(grant.privilege)
        else:
            raise RestoreError(f"privilege [{grant.privilege}] does not exist")
        return grant._replace(database=database, privilege=stored, grantor=grant.grantor or grantor)

    def _users(self, meta: RbacMeta) -> Iterator[SavedUser]:
        names: set[str] = set()
        for name, password, roles in meta.users:
            # Users may have been stored under other rules for names.
            if not is_storable(name):
                raise RestoreError(f"user [{name}]: the name is not valid for a user")
            if name in names:
                raise RestoreError(f"user [{name}] already exists", reason="user_exists")
            names.add(name)
            for role in roles:
                self._names.check_role(role)
            hashed = password_hash(password)
            if hashed is None:
                raise RestoreError(
                    f"the password of user [{name}] is not a bcrypt hash of cost {MIN_COST} to "
                    f"{MAX_COST}"
                )
            yield SavedUser(name, hashed, tuple(dict.fromkeys(roles)))
