"""Grants privileges to roles, revokes them, and lists them."""

from collections.abc import Mapping
from typing import Final, Protocol

import betterproto

from vecguard.generated.milvus.proto import milvus
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.privileges.catalogue import (
    GLOBAL,
    RELATED_PRIVILEGES,
    V1_GRANTABLE,
    V1_GROUPS,
    Catalogue,
    Level,
    flattened,
    object_type_of,
)
from vecguard.privileges.stored_names import ANY, stored_group, stored_privilege
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.errors import InvalidAccountError
from vecguard.proxy.accounts.names import NameRules, check_database
from vecguard.proxy.accounts.records import Grant, Roles
from vecguard.proxy.accounts.role_errors import (
    InvalidRequestError,
    MissingPartError,
    UnknownGrantorError,
    UnknownRoleError,
)
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal
from vecguard.usernames import ROOT

_DEFAULT_DATABASE: Final = "default"
_V2: Final = "v2"
# How Milvus's root coord begins some of its complaints.
_COMMON: Final = "failed to operate privilege common check: "
_OBJECT_TYPES: Final = " ".join(sorted(V1_GRANTABLE))


class GrantDirectory(Protocol):
    """The requests to root coord that grants need."""

    async def read_roles(self, *names: str) -> Roles: ...

    async def list_groups(self) -> list[pb.PrivilegeGroup]: ...

    async def change_grant(
        self, role: str, grants: list[Grant], *, give: bool, asked_by: Principal
    ) -> pb.MutationReply: ...


class GrantAccounts:
    """Implements Milvus's RPCs about grants.

    Changes return and raise what those of `RoleAccounts` do.
    """

    def __init__(
        self,
        directory: GrantDirectory,
        changes: Changes,
        *,
        names: NameRules,
        catalogue: Catalogue,
    ) -> None:
        self._directory = directory
        self._changes = changes
        self._names = names
        self._catalogue = catalogue

    async def operate(self, caller: Caller, request: milvus.OperatePrivilegeRequest) -> int | None:
        """Grants or revokes by Milvus's first API: the caller names the type of the object."""
        self._changes.require(caller)
        entity = request.entity
        self._check_parts(request)
        database = entity.db_name or caller.database
        check_database(database)
        give = _is_grant(request.type)
        role, privilege = entity.role.name, entity.grantor.privilege.name
        if request.version == _V2:
            await self._check_v2(role, privilege, database, entity.object_name)
            return await self._change_v2(
                caller, role, privilege, database, entity.object_name, give=give
            )
        object_type, name = entity.object.name, entity.object_name
        await self._check_v1(role, privilege, object_type)
        if object_type == GLOBAL and privilege not in V1_GROUPS:
            name = ANY
        grants = [
            Grant(object_type, database, name, stored_privilege(each), _grantor(caller))
            for each in _with_related(privilege)
        ]
        return await self._change(caller, role, grants, give=give)

    async def operate_v2(
        self, caller: Caller, request: milvus.OperatePrivilegeV2Request
    ) -> int | None:
        """Grants or revokes by Milvus's second API: the privilege decides the object's type."""
        self._changes.require(caller)
        role, privilege = request.role.name, request.grantor.privilege.name
        self._names.check_role(role)
        self._names.check_object(privilege, "Privilege")
        database = request.db_name or _DEFAULT_DATABASE
        check_database(database)
        self._names.check_object(request.collection_name, "collection name")
        give = _is_grant(request.type)
        await self._check_v2(role, privilege, database, request.collection_name)
        return await self._change_v2(
            caller, role, privilege, database, request.collection_name, give=give
        )

    async def select(self, caller: Caller, entity: milvus.GrantEntity) -> list[Grant]:
        """Returns the grants of a role in a database, or those of them on one object.

        Grants on every database are among them, because they hold in this one. With the database
        `*`, as in Milvus: the grants in all databases, or those on one object of every database.

        Raises:
            AccountError: the request is incomplete or has a bad name, or there is no such role or
                type of object.
        """
        if not betterproto.serialized_on_wire(entity):
            raise InvalidAccountError("the grant entity in the request is nil: invalid parameter")
        if not betterproto.serialized_on_wire(entity.role):
            raise InvalidAccountError(
                "the role entity in the grant entity is nil: invalid parameter"
            )
        role = entity.role.name
        self._names.check_role(role)
        of_object = betterproto.serialized_on_wire(entity.object)
        if of_object:
            self._names.check(entity.object.name, "ObjectType")
            self._names.check_object(entity.object_name, "object name")
        grants = (await self._directory.read_roles(role)).grants.get(role)
        if grants is None:
            raise UnknownRoleError(role)
        if of_object and entity.object.name not in V1_GRANTABLE:
            raise InvalidRequestError(
                f"not found the object type[name: {entity.object.name}], supported the object "
                f"types: [{_OBJECT_TYPES}]"
            )
        database = entity.db_name or caller.database
        if of_object:
            wanted = (entity.object.name, entity.object_name)
            return [
                grant
                for grant in grants
                if (grant.object_type, grant.object) == wanted and grant.database in (database, ANY)
            ]
        return [grant for grant in grants if database == ANY or grant.database in (database, ANY)]

    def _check_parts(self, request: milvus.OperatePrivilegeRequest) -> None:
        entity = request.entity
        has = betterproto.serialized_on_wire
        if not has(entity):
            raise MissingPartError("the entity in the request is nil")
        if not has(entity.grantor):
            raise MissingPartError("the grantor entity in the grant entity is nil")
        if not has(entity.grantor.privilege):
            raise MissingPartError("the privilege entity in the grantor entity is nil")
        self._names.check_object(entity.grantor.privilege.name, "Privilege")
        if not has(entity.object):
            raise MissingPartError("the resource entity in the grant entity is nil")
        self._names.check(entity.object.name, "ObjectType")
        self._names.check_object(entity.object_name, "object name")
        if not has(entity.role):
            raise MissingPartError("the object entity in the grant entity is nil")
        self._names.check_role(entity.role.name)

    async def _check_v1(self, role: str, privilege: str, object_type: str) -> None:
        if object_type not in V1_GRANTABLE:
            raise InvalidRequestError(
                f"{_COMMON}the object entity in the request is nil or invalid"
            )
        if self._catalogue.is_built_in_group(privilege):
            await self._require_role(role)
            raise InvalidRequestError(f"can not operate the built-in privilege group [{privilege}]")
        if privilege == ANY or privilege in V1_GRANTABLE[object_type]:
            return
        await self._require_role(role)
        if privilege in await self._custom_groups():
            raise InvalidRequestError(f"can not operate the custom privilege group [{privilege}]")
        raise InvalidRequestError(
            f"not found the privilege name[{privilege}] in object[{object_type}]"
        )

    async def _check_v2(self, role: str, privilege: str, database: str, collection: str) -> None:
        if privilege == ANY or self._catalogue.is_privilege(privilege):
            return
        if self._catalogue.is_built_in_group(privilege):
            custom: Mapping[str, list[str]] = {}
        else:
            custom = await self._custom_groups()
            if privilege not in custom:
                await self._require_role(role)
                raise InvalidRequestError(f"not found the privilege name[{privilege}]")
        complaint = self._complaint_about_scope(privilege, custom, database, collection)
        if complaint:
            await self._require_role(role)
            raise InvalidRequestError(complaint)

    def _complaint_about_scope(
        self, group: str, custom: Mapping[str, list[str]], database: str, collection: str
    ) -> str:
        """Returns what is wrong with the scope of a group, "" for nothing."""
        members = flattened([group], custom, self._catalogue)
        if not members:
            return ""
        # All privileges of a group have one level.
        match self._catalogue.level_of(members[0]):
            case Level.CLUSTER if (database, collection) != (ANY, ANY):
                return (
                    "dbName and collectionName should be * for the cluster level privilege: "
                    f"{group}"
                )
            case Level.DATABASE if collection != ANY:
                return f"collectionName should be * for the database level privilege: {group}"
            case Level.COLLECTION if database == ANY and collection != ANY:
                return f"please specify database name for the collection level privilege: {group}"
            case None:
                return "not found the privilege level"
        return ""

    async def _change_v2(
        self,
        caller: Caller,
        role: str,
        privilege: str,
        database: str,
        collection: str,
        *,
        give: bool,
    ) -> int | None:
        is_group = privilege != ANY and not self._catalogue.is_privilege(privilege)
        stored = stored_group if is_group else stored_privilege
        grants = [
            Grant(object_type_of(each), database, collection, stored(each), _grantor(caller))
            for each in _with_related(privilege)
        ]
        return await self._change(caller, role, grants, give=give)

    async def _change(
        self, caller: Caller, role: str, grants: list[Grant], *, give: bool
    ) -> int | None:
        reply = await self._directory.change_grant(
            role, grants, give=give, asked_by=caller.principal
        )
        match reply.outcome:
            case pb.MutationOutcome.ROLE_NOT_FOUND:
                raise UnknownRoleError(role, _COMMON)
            case pb.MutationOutcome.GRANTOR_NOT_FOUND:
                raise UnknownGrantorError(_grantor(caller), _COMMON)
            case pb.MutationOutcome.PRIVILEGE_NOT_FOUND:
                raise InvalidRequestError(f"not found the privilege name[{reply.detail}]")
        return self._changes.revision(caller, reply)

    async def _custom_groups(self) -> dict[str, list[str]]:
        return {
            group.name: group.privileges
            for group in await self._directory.list_groups()
            if not self._catalogue.is_built_in_group(group.name)
        }

    async def _require_role(self, role: str) -> None:
        """Raises UnknownRoleError: Milvus complains about the role before the privilege."""
        if role not in (await self._directory.read_roles(role)).grants:
            raise UnknownRoleError(role, _COMMON)


def _is_grant(kind: milvus.OperatePrivilegeType) -> bool:
    if kind not in (milvus.OperatePrivilegeType.Grant, milvus.OperatePrivilegeType.Revoke):
        raise InvalidRequestError(
            f"{_COMMON}invalid operate privilege type, current type: {int(kind)}, valid value: "
            "[Grant, Revoke]"
        )
    return kind == milvus.OperatePrivilegeType.Grant


def _with_related(privilege: str) -> tuple[str, ...]:
    return (privilege, *RELATED_PRIVILEGES.get(privilege, ()))


def _grantor(caller: Caller) -> str:
    return caller.principal.username or ROOT
