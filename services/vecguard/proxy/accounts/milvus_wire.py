"""Reads and writes Milvus's messages that may have 100,000 grants, in turns."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from vecguard.concurrency.turns import in_turns
from vecguard.errors import MessageTooLargeError, TooManyFieldsError
from vecguard.grpc.raw_message import RawMessage, Shape, encoded, fields, message, texts
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.privileges.stored_names import api_name
from vecguard.proxy.accounts.records import Backup, Grant
from vecguard.proxy.accounts.status import success
from vecguard.secret import Secret

# Before the hash of a password of more than 72 bytes. Milvus has no such passwords; without the
# mark a restored hash would count as plain bcrypt and match no password.
_LONG_PASSWORD = "{bcrypt-sha256}"  # noqa: S105 - a mark, no password

# Each user, role, grant and group is read in one turn. A user or a group has fewer roles or
# privileges than this, and a role or a grant is shorter than that.
_MOST_FIELDS = 2000
_MOST_BYTES = 64 * 1024

_NAME: Shape = {1: 0}
_FLAT: Shape = {1: 0, 2: 1}
# The role, and the fields of `Grant` in their order.
_GRANT: Shape = {1: _NAME, 2: {1: 1}, 5: 2, 3: 3, 4: {2: {1: 4}, 1: {1: 5}}}


@dataclass(slots=True)
class RbacMeta:
    """An unchecked backup, as a client sends it.

    Attributes:
        users: name, hash and roles of each user.
        roles: name and description of each role.
        grants: each with the role, and with the API name of the privilege.
        groups: name and API names of privileges of each group.
    """

    users: list[tuple[str, Secret[str], list[str]]] = field(default_factory=list)
    roles: list[tuple[str, str]] = field(default_factory=list)
    grants: list[tuple[str, Grant]] = field(default_factory=list)
    groups: list[tuple[str, list[str]]] = field(default_factory=list)


async def grants_reply(role: str, grants: Iterable[Grant]) -> RawMessage:
    """Returns a `SelectGrantResponse`."""
    entities = [encoded(2, _grant_entity(role, grant)) async for grant in in_turns(grants)]
    return RawMessage(encoded(1, bytes(success())) + b"".join(entities))


async def backup_reply(backup: Backup) -> RawMessage:
    """Returns a `BackupRBACMetaResponse`."""
    parts: list[bytes] = []
    async for user in in_turns(backup.users):
        roles = b"".join(encoded(3, encoded(1, role)) for role in user.roles)
        parts.append(encoded(1, encoded(1, user.name) + encoded(2, _marked(user.password)) + roles))
    parts += [
        encoded(2, encoded(1, role.name) + encoded(2, role.description)) for role in backup.roles
    ]
    for role in backup.roles:
        parts += [
            encoded(3, _grant_entity(role.name, grant)) async for grant in in_turns(role.grants)
        ]
    for group, privileges in backup.groups.items():
        members = b"".join(encoded(2, encoded(1, privilege)) for privilege in privileges)
        parts.append(encoded(4, encoded(1, group) + members))
    return RawMessage(encoded(1, bytes(success())) + encoded(2, b"".join(parts)))


async def read_restore_request(request: bytes) -> RbacMeta:
    """Reads a `RestoreRBACMetaRequest`.

    Raises:
        MalformedMessageError: it cannot be read.
        TooManyFieldsError, MessageTooLargeError: one user, role, grant or group is too long.
    """
    meta = RbacMeta()
    async for number, value in in_turns(fields(request)):
        if number == 2:  # noqa: PLR2004 - the number of RBAC_meta
            async for part, content in in_turns(fields(message(value))):
                _add(meta, part, content)
    return meta


def password_hash(marked: Secret[str]) -> PasswordHash | None:
    """Returns the hash of a user in a backup, or None if no password could match it."""
    encrypted = marked.reveal()
    scheme = PasswordScheme.BCRYPT
    if encrypted.startswith(_LONG_PASSWORD):
        scheme = PasswordScheme.BCRYPT_SHA256
    try:
        return PasswordHash(Secret(encrypted.removeprefix(_LONG_PASSWORD)), scheme)
    except ValueError:
        return None


def _marked(password: PasswordHash) -> str:
    mark = _LONG_PASSWORD if password.scheme is PasswordScheme.BCRYPT_SHA256 else ""
    return mark + password.encrypted.reveal()


def _grant_entity(role: str, grant: Grant) -> bytes:
    grantor = encoded(1, encoded(1, grant.grantor)) + encoded(
        2, encoded(1, api_name(grant.privilege))
    )
    return b"".join(
        (
            encoded(1, encoded(1, role)),
            encoded(2, encoded(1, grant.object_type)),
            encoded(3, grant.object),
            encoded(4, grantor),
            encoded(5, grant.database),
        )
    )


def _add(meta: RbacMeta, number: int, value: int | bytes) -> None:
    match number:
        case 1:
            roles = _names(message(value), 3)
            name, password = texts(message(value), _FLAT, 2)
            meta.users.append((name, Secret(password), roles))
        case 2:
            role, description = texts(_short(value), _FLAT, 2)
            meta.roles.append((role, description))
        case 3:
            role, *grant = texts(_short(value), _GRANT, 6)
            meta.grants.append((role, Grant(*grant)))
        case 4:
            privileges = _names(message(value), 2)
            (group,) = texts(message(value), _NAME, 1)
            meta.groups.append((group, privileges))


def _short(value: int | bytes) -> bytes:
    """Returns a message. Raises MessageTooLargeError."""
    data = message(value)
    if len(data) > _MOST_BYTES:
        raise MessageTooLargeError(len(data), _MOST_BYTES)
    return data


def _names(data: bytes, wanted: int) -> list[str]:
    """Returns the names of all messages in a repeated field. Raises TooManyFieldsError."""
    names = []
    for count, (number, value) in enumerate(fields(data)):
        if count == _MOST_FIELDS:
            raise TooManyFieldsError(_MOST_FIELDS)
        if number == wanted:
            names += texts(message(value), _NAME, 1)
    return names
