"""Reads and writes the messages that may have 100,000 grants, field by field and in turns.

betterproto would hold the event loop, the renewals of all leases included, for seconds.
"""

from collections.abc import Iterable

from vecguard.concurrency.turns import in_turns
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.codec import RequestCodec
from vecguard.grpc.credentials import hash_from_wire, hash_to_wire
from vecguard.grpc.raw_message import (
    RawMessage,
    Shape,
    encoded,
    encoded_number,
    fields,
    message,
    text,
    texts,
)
from vecguard.milvus_layout.stored_roles import Grant, StoredRole
from vecguard.root_coord.store.interface import StoredCredential
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RoleBackup

# For the messages in a message; the server has limited its size.
_CODEC = RequestCodec(max_fields=None)
_GRANT: Shape = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}


async def encoded_role(role: StoredRole) -> bytes:
    """Returns a `Role` without users."""
    grants = [encoded(3, _encoded_grant(grant)) async for grant in in_turns(role.grants)]
    return encoded(1, role.name) + encoded(2, role.description) + b"".join(grants)


def encoded_group(group: PrivilegeGroup) -> bytes:
    """Returns a `PrivilegeGroup`."""
    return encoded(1, group.name) + b"".join(encoded(2, each) for each in group.privileges)


def roles_reply(
    term: int, read_revision: int, roles: Iterable[bytes], groups: Iterable[bytes]
) -> RawMessage:
    """Returns a `GetRolesReply` with encoded roles and groups."""
    parts = [encoded_number(1, term), encoded_number(2, read_revision)]
    parts += [encoded(3, role) for role in roles]
    parts += [encoded(4, group) for group in groups]
    return RawMessage(b"".join(parts))


async def backup_reply(backup: RoleBackup) -> RawMessage:
    """Returns a `BackUpRolesReply`."""
    parts = [encoded(1, _encoded_user(user)) async for user in in_turns(backup.users)]
    parts += [encoded(2, await encoded_role(role)) async for role in in_turns(backup.roles)]
    parts += [encoded(3, encoded_group(group)) async for group in in_turns(backup.groups)]
    return RawMessage(encoded(1, b"".join(parts)))


async def read_restore_request(data: bytes) -> tuple[RoleBackup, pb.Actor]:
    """Reads a `RestoreRolesRequest`.

    Raises:
        MalformedMessageError: it cannot be read.
        InvalidParameterError: a user has no usable hash.
    """
    backup, actor = [], []
    for number, value in fields(data):
        if number == 1:
            backup.append(message(value))
        elif number == 2:  # noqa: PLR2004 - the field `actor`
            actor.append(message(value))
    # The parts of a message in several fields belong together.
    return await _backup(b"".join(backup)), _CODEC.decode(b"".join(actor), pb.Actor)


async def _backup(data: bytes) -> RoleBackup:
    users, roles, groups = [], [], []
    async for number, value in in_turns(fields(data)):
        match number:
            case 1:
                users.append(_user(_CODEC.decode(message(value), pb.Credential)))
            case 2:
                roles.append(await _role(message(value)))
            case 3:
                groups.append(_group(message(value)))
    return RoleBackup(tuple(users), tuple(roles), tuple(groups))


async def _role(data: bytes) -> StoredRole:
    name = description = ""
    grants = []
    async for number, value in in_turns(fields(data)):
        match number:
            case 1:
                name = text(value)
            case 2:
                description = text(value)
            case 3:
                grants.append(Grant(*texts(message(value), _GRANT, len(_GRANT))))
    return StoredRole(name, description, tuple(grants))


def _group(data: bytes) -> PrivilegeGroup:
    name, privileges = "", []
    for number, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:  # noqa: PLR2004 - the field `privileges`
            privileges.append(text(value))
    return PrivilegeGroup(name, tuple(privileges))


def _user(credential: pb.Credential) -> StoredCredential:
    return StoredCredential(
        credential.username,
        hash_from_wire(credential.password),
        0,
        credential.description,
        tuple(credential.roles),
    )


def _encoded_user(user: StoredCredential) -> bytes:
    credential = pb.Credential(
        username=user.username, description=user.description, roles=list(user.roles)
    )
    if user.password is not None:
        credential.password = hash_to_wire(user.password)
    return bytes(credential)


def _encoded_grant(grant: Grant) -> bytes:
    return (
        encoded(1, grant.object_type)
        + encoded(2, grant.database)
        + encoded(3, grant.object)
        + encoded(4, grant.privilege)
        + encoded(5, grant.grantor)
    )
