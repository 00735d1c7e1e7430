"""Reads and writes root coord's messages about roles, which may have 100,000 grants."""

from collections.abc import Iterable

from vecguard.concurrency.turns import in_turns
from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.credentials import hash_from_wire, hash_to_wire
from vecguard.grpc.raw_message import (
    RawMessage,
    Shape,
    encoded,
    fields,
    message,
    number_of,
    text,
    texts,
)
from vecguard.observability.log import get_logger
from vecguard.proxy.accounts.records import Backup, Grant, Roles, SavedRole, SavedUser

log = get_logger(__name__)

_GRANT: Shape = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}


async def read_roles(data: bytes) -> tuple[int, Roles]:
    """Reads a `GetRolesReply`; returns root coord's term and the roles.

    Raises MalformedMessageError.
    """
    term = read_revision = 0
    grants: dict[str, list[Grant]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for number, value in fields(data):
        match number:
            case 1:
                term = number_of(value)
            case 2:
                read_revision = number_of(value)
            case 3:
                role = await _role(message(value))
                grants[role.name] = role.grants
            case 4:
                group = pb.PrivilegeGroup.FromString(message(value))
                groups[group.name] = tuple(group.privileges)
    return term, Roles(read_revision, grants, groups)


async def read_backup(data: bytes) -> Backup:
    """Reads a `BackUpRolesReply`. Raises MalformedMessageError."""
    backup = Backup()
    for number, value in fields(data):
        if number == 1:
            await _add(backup, message(value))
    return backup


async def restore_request(backup: Backup, actor: pb.Actor) -> RawMessage:
    """Returns a `RestoreRolesRequest`."""
    parts: list[bytes] = []
    async for user in in_turns(backup.users):
        credential = pb.Credential(
            username=user.name, password=hash_to_wire(user.password), roles=list(user.roles)
        )
        parts.append(encoded(1, bytes(credential)))
    for role in backup.roles:
        grants = [encoded(3, encoded_grant(grant)) async for grant in in_turns(role.grants)]
        named = encoded(1, role.name) + encoded(2, role.description)
        parts.append(encoded(2, named + b"".join(grants)))
    for group, privileges in backup.groups.items():
        parts.append(encoded(3, bytes(pb.PrivilegeGroup(name=group, privileges=list(privileges)))))
    return RawMessage(encoded(1, b"".join(parts)) + encoded(2, bytes(actor)))


def encoded_grant(grant: Grant) -> bytes:
    """Returns a `Grant`."""
    return b"".join(encoded(number, value) for number, value in enumerate(grant, 1))


async def _add(backup: Backup, data: bytes) -> None:
    async for number, value in in_turns(fields(data)):
        match number:
            case 1:
                backup.users += _users(pb.Credential.FromString(message(value)))
            case 2:
                backup.roles.append(await _role(message(value)))
            case 3:
                group = pb.PrivilegeGroup.FromString(message(value))
                backup.groups[group.name] = tuple(group.privileges)


def _users(credential: pb.Credential) -> Iterable[SavedUser]:
    try:
        password = hash_from_wire(credential.password)
    except InvalidParameterError:
        # The user cannot log in, and a backup without a hash could not be restored.
        log.warning("user_left_out_of_backup", username=credential.username)
        return ()
    return (SavedUser(credential.username, password, tuple(credential.roles)),)


async def _role(data: bytes) -> SavedRole:
    role = SavedRole("")
    async for number, value in in_turns(fields(data)):
        match number:
            case 1:
                role.name = text(value)
            case 2:
                role.description = text(value)
            case 3:
                role.grants.append(_grant(message(value)))
    return role


def _grant(data: bytes) -> Grant:
    return Grant(*texts(data, _GRANT, len(_GRANT)))
