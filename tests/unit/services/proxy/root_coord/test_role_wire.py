"""Root coord's messages about roles are those of betterproto, which root coord uses."""

import pytest

from tests.support.credentials import hashed
from vecguard.errors import MalformedMessageError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.credentials import hash_to_wire
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.proxy.accounts.records import Backup, Grant, Roles, SavedRole, SavedUser
from vecguard.proxy.root_coord import role_wire

PLAIN = hashed("first1")
LONG = PasswordHash(PLAIN.encrypted, PasswordScheme.BCRYPT_SHA256)
GRANTS = [
    Grant("Collection", "default", f"books{number}", "PrivilegeSearch", "root")
    for number in range(1000)
]
BACKUP = Backup(
    [SavedUser("bob", PLAIN, ("reader",)), SavedUser("eve", LONG)],
    [SavedRole("reader", "reads", GRANTS), SavedRole("writer")],
    {"readers": ("Search", "Query"), "empty": ()},
)


def as_message(backup):
    return pb.RoleBackup(
        users=[
            pb.Credential(
                username=user.name, password=hash_to_wire(user.password), roles=list(user.roles)
            )
            for user in backup.users
        ],
        roles=[
            pb.Role(
                name=role.name,
                description=role.description,
                grants=[pb.Grant(**grant._asdict()) for grant in role.grants],
            )
            for role in backup.roles
        ],
        groups=[
            pb.PrivilegeGroup(name=name, privileges=list(privileges))
            for name, privileges in backup.groups.items()
        ],
    )


async def test_a_backup_is_read():
    reply = bytes(pb.BackUpRolesReply(backup=as_message(BACKUP)))
    assert await role_wire.read_backup(reply) == BACKUP


async def test_a_request_to_restore_is_written():
    actor = pb.Actor(username="root", revision=7)
    request = await role_wire.restore_request(BACKUP, actor)
    assert pb.RestoreRolesRequest.FromString(request) == pb.RestoreRolesRequest(
        backup=as_message(BACKUP), actor=actor
    )


async def test_a_user_without_a_usable_hash_is_left_out():
    message = as_message(BACKUP)
    message.users[0].password = pb.PasswordHash(encrypted_password="none")
    backup = await role_wire.read_backup(bytes(pb.BackUpRolesReply(backup=message)))
    assert [user.name for user in backup.users] == ["eve"]


async def test_roles_are_read_with_their_revision():
    reply = pb.GetRolesReply(
        term=3,
        read_revision=300,
        roles=as_message(BACKUP).roles,
        groups=[pb.PrivilegeGroup(name="readers", privileges=["Search"])],
    )
    assert await role_wire.read_roles(bytes(reply)) == (
        3,
        Roles(300, {"reader": GRANTS, "writer": []}, {"readers": ("Search",)}),
    )


@pytest.mark.parametrize("read", [role_wire.read_backup, role_wire.read_roles])
async def test_a_reply_that_is_cut_off_is_malformed(read):
    with pytest.raises(MalformedMessageError):
        await read(b"\x1a\x05ab")
