"""Many roles, written into etcd in Milvus's layout: by calls for roles it would take an hour."""

from collections.abc import Iterator

import grpc

from deploy.local.stack import LocalStack
from tests.bench.rbac.requests import COLLECTION
from vecguard.config import Settings
from vecguard.milvus_layout import Keys, Record
from vecguard.milvus_layout.role_records import Grantee
from vecguard.passwords import hash_password
from vecguard.proxy.authorization.policy import Grant
from vecguard.secret import Secret
from vecguard.usernames import ROOT

ROLES, GRANTS = 1000, 100
#: A user with the first of the roles, and one without a role.
READER, STRANGER = "reader", "stranger"
ROLES_OF_READER = 10
PASSWORD = "password"
_PRIVILEGES = ("Search", "Insert", "Query", "Delete")
#: By the number of the role.
_NEEDED = {ROLES_OF_READER - 2: "PrivilegeInsert", ROLES_OF_READER - 1: "PrivilegeSearch"}
_PUTS = 120  # etcd takes 128 operations in a transaction


def role_name(number: int) -> str:
    return f"role{number:04}"


def grants_of(number: int) -> Iterator[Grant]:
    """A role's grants, each on another collection; two roles have the needed ones."""
    needed = _NEEDED.get(number)
    for index in range(GRANTS - (needed is not None)):
        name = f"{role_name(number)}_collection{index:03}"
        privilege = _PRIVILEGES[index % len(_PRIVILEGES)]
        yield Grant("Collection", "default", name, f"Privilege{privilege}")
    if needed is not None:
        yield Grant("Collection", "default", COLLECTION, needed)


async def fill(stack: LocalStack) -> None:
    """Writes the roles with their grants, and three users: `root` is made in empty stores only."""
    settings = Settings()
    keys = Keys.of(settings.etcd.root_path, settings.etcd.meta_sub_path)
    records = list(_records(keys, settings.authentication.bcrypt_cost))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stack.ports.etcd}") as channel:
        for start in range(0, len(records), _PUTS):
            puts = b"".join(_put(*record) for record in records[start : start + _PUTS])
            await channel.unary_unary("/etcdserverpb.KV/Txn")(puts, timeout=60)


def _put(key: str, value: str) -> bytes:
    """TxnRequest.success with RequestOp.request_put; betterproto takes a minute for all."""
    put = _field(1, key.encode()) + _field(2, value.encode())
    return _field(2, _field(2, put))


def _field(number: int, content: bytes) -> bytes:
    """Of up to 16 KiB."""
    size = len(content)
    length = bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
    return bytes((number << 3 | 2,)) + length + content


def _records(keys: Keys, cost: int) -> Iterator[tuple[str, str]]:
    for user in (ROOT, READER, STRANGER):
        yield (
            keys.user(user),
            Record.new(hash_password(Secret(PASSWORD), cost), "").encode().decode(),
        )
    for number in range(ROLES):
        role = role_name(number)
        yield keys.role(role), ""
        if number < ROLES_OF_READER:
            yield keys.mapping(READER, role), ""
        for grant in grants_of(number):
            grantee = Grantee(role, grant.object_type, grant.database, grant.object)
            yield keys.grantee(grantee.key), grantee.id
            yield keys.grants_of(grantee.id) + grant.privilege, ROOT
