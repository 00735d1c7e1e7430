"""Creates, changes, drops and lists privilege groups."""

from collections.abc import Sequence
from typing import Protocol

from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.names import NameRules, check_group_name
from vecguard.proxy.accounts.role_errors import GroupError
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal


class GroupDirectory(Protocol):
    """The requests to root coord that privilege groups need."""

    async def list_groups(self) -> list[pb.PrivilegeGroup]: ...

    async def create_group(self, name: str, *, asked_by: Principal) -> pb.MutationReply: ...

    async def drop_group(self, name: str, *, asked_by: Principal) -> pb.MutationReply: ...

    async def change_group(
        self, name: str, privileges: Sequence[str], *, add: bool, asked_by: Principal
    ) -> pb.MutationReply: ...


class PrivilegeGroups:
    """Implements Milvus's RPCs about privilege groups.

    Changes return and raise what those of `RoleAccounts` do.
    """

    def __init__(self, directory: GroupDirectory, changes: Changes, *, names: NameRules) -> None:
        self._directory = directory
        self._changes = changes
        self._names = names

    async def list_groups(self) -> list[pb.PrivilegeGroup]:
        """Returns all groups: the custom ones, then the built-in ones."""
        return await self._directory.list_groups()

    async def create(self, caller: Caller, name: str) -> int | None:
        """Adds a group without privileges."""
        self._changes.require(caller)
        check_group_name(name)
        reply = await self._directory.create_group(name, asked_by=caller.principal)
        match reply.outcome:
            case pb.MutationOutcome.GROUP_EXISTS:
                raise GroupError(
                    "creatable",
                    f"privilege group name [{name}] is defined by users",
                    reason="group_exists",
                )
            case pb.MutationOutcome.GROUP_NAME_TAKEN:
                raise GroupError(
                    "creatable",
                    f"privilege group name [{name}] is defined by built in privileges or privilege "
                    "groups in system",
                    reason="group_exists",
                )
        return self._changes.revision(caller, reply)

    async def drop(self, caller: Caller, name: str) -> int | None:
        """Removes a group that no role has."""
        self._changes.require(caller)
        check_group_name(name)
        reply = await self._directory.drop_group(name, asked_by=caller.principal)
        match reply.outcome:
            case pb.MutationOutcome.GROUP_NOT_FOUND:
                return None
            case pb.MutationOutcome.GROUP_IN_USE:
                raise GroupError(
                    "dropable",
                    f"privilege group [{name}] is used by role [{reply.detail}], Use REVOKE API to "
                    "revoke it first",
                    reason="group_in_use",
                )
        return self._changes.revision(caller, reply)

    async def change(
        self, caller: Caller, name: str, privileges: Sequence[str], *, add: bool
    ) -> int | None:
        """Adds privileges to a group, or removes them. Names of groups are allowed, too."""
        self._changes.require(caller)
        check_group_name(name)
        for privilege in privileges:
            self._names.check(privilege, "Privilege")
        unknown = GroupError(
            "alterable",
            f"there is no privilege group name [{name}] defined in system to operate",
            reason="group_not_found",
        )
        if not privileges:
            if name not in [group.name for group in await self._directory.list_groups()]:
                raise unknown
            raise GroupError(
                "alterable",
                "privileges is empty when alter the privilege group",
                reason="invalid_parameter",
            )
        reply = await self._directory.change_group(
            name, privileges, add=add, asked_by=caller.principal
        )
        match reply.outcome:
            case pb.MutationOutcome.GROUP_NOT_FOUND:
                raise unknown
            case pb.MutationOutcome.PRIVILEGE_NOT_FOUND:
                raise GroupError(
                    "alterable",
                    f"there is no privilege name or privilege group name [{reply.detail}] defined "
                    "in system to operate",
                    reason="invalid_parameter",
                )
            case pb.MutationOutcome.LEVELS_DIFFER:
                raise GroupError(
                    "alterable",
                    "privileges are not the same privilege level",
                    reason="invalid_parameter",
                )
        return self._changes.revision(caller, reply)
