"""Reads roles, grants and groups from keys and values, and names what cannot be read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from vecguard.concurrency.turns import in_turns
from vecguard.etcd import EtcdClient, KeyValue
from vecguard.etcd.reads import Reads, until_whole
from vecguard.milvus_layout import CorruptRecordError, Keys
from vecguard.milvus_layout.role_records import (
    Grantee,
    grantee_id,
    group_members,
    is_name,
    role_description,
)
from vecguard.observability.log import get_logger
from vecguard.privileges.catalogue import PUBLIC

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """Allows a role to use a privilege on an object.

    Attributes:
        object: a name, a pattern, or "*".
        privilege: as stored: "PrivilegeSearch", "PrivilegeGroupReaders" or "*".
        grantor: the user who has made the grant.
    """

    object_type: str
    database: str
    object: str
    privilege: str
    grantor: str


@dataclass(frozen=True, slots=True)
class StoredRole:
    """A role. Which of `grants` and `users` was read depends on the read.

    Attributes:
        users: in alphabetical order.
    """

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CorruptKey:
    """A key that cannot be read, and why; the reason shows no value."""

    key: str
    reason: str

    @classmethod
    def of(cls, kv: KeyValue, error: CorruptRecordError) -> "CorruptKey":
        """Returns what an error says about a key."""
        return cls(kv.key.decode(errors="replace"), str(error))


Report = Callable[[CorruptKey], None]


def log_corrupt(found: CorruptKey) -> None:
    """Logs a key that is left out."""
    log.warning("corrupt_role_record", key=found.key, error=found.reason)


@contextmanager
def _reported(kv: KeyValue, report: Report) -> Iterator[None]:
    """Reports a CorruptRecordError of its body, with the key, and continues after the body."""
    try:
        yield
    except CorruptRecordError as error:
        report(CorruptKey.of(kv, error))


@dataclass(frozen=True, slots=True)
class StoredGrantee:
    """A key of `grantee-privileges` with its value."""

    kv: KeyValue
    grantee: Grantee
    id: str

    @property
    def has_newest_form(self) -> bool:
        """Whether the key names the database; that of the default database may not."""
        return self.kv.key.decode().endswith(f"/{self.grantee.key}")


def below(kv: KeyValue, prefix: str) -> str:
    """Returns a key without a prefix that it has. Raises CorruptRecordError if it is no text."""
    try:
        return kv.key.decode().removeprefix(prefix)
    except UnicodeDecodeError:
        raise CorruptRecordError("the key is not UTF-8") from None


def roles_by_user(
    keys: Keys, mappings: Iterable[KeyValue], report: Report = log_corrupt
) -> dict[str, tuple[str, ...]]:
    """Returns each user's roles in alphabetical order, without `public`."""
    found: dict[str, list[str]] = {}
    for kv in mappings:
        with _reported(kv, report):
            user, _, role = below(kv, keys.mappings).partition("/")
            if not user or not is_name(role):
                raise CorruptRecordError("the key is not <user>/<role>")
            if role != PUBLIC:
                found.setdefault(user, []).append(role)
    return {user: tuple(sorted(roles)) for user, roles in found.items()}


def users_by_role(roles: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Returns each role's users from the result of `roles_by_user`."""
    found: dict[str, list[str]] = {}
    for user in sorted(roles):
        for role in roles[user]:
            found.setdefault(role, []).append(user)
    return {role: tuple(users) for role, users in found.items()}


def roles_of(keys: Keys, kvs: Iterable[KeyValue], report: Report = log_corrupt) -> list[StoredRole]:
    """Reads roles. A role whose description cannot be read has none: its grants hold."""
    found = []
    for kv in kvs:
        with _reported(kv, report):
            name = below(kv, keys.roles)
            if not is_name(name):
                raise CorruptRecordError("the key is not the name of a role")
            description = ""
            with _reported(kv, report):
                description = role_description(kv.value)
            found.append(StoredRole(name, description))
    return found


def groups_of(
    keys: Keys, kvs: Iterable[KeyValue], report: Report = log_corrupt
) -> dict[str, tuple[str, ...]]:
    """Reads custom groups with their members."""
    found = {}
    for kv in kvs:
        with _reported(kv, report):
            name = below(kv, keys.groups)
            if not is_name(name):
                raise CorruptRecordError("the key is not the name of a privilege group")
            found[name] = group_members(kv.value)
    return found


async def grantees_of(
    keys: Keys, kvs: Iterable[KeyValue], report: Report = log_corrupt
) -> list[StoredGrantee]:
    """Reads grantees with their ids."""
    found, prefix = [], keys.grantees
    async for kv in in_turns(kvs):
        try:
            grantee = Grantee.of_key(below(kv, prefix))
            found.append(StoredGrantee(kv, grantee, grantee_id(kv.value)))
        except CorruptRecordError as error:
            report(CorruptKey.of(kv, error))
    return found


async def privileges_of(
    keys: Keys, kvs: Iterable[KeyValue], report: Report = log_corrupt
) -> dict[str, dict[str, KeyValue]]:
    """Reads `grantee-id` keys: id -> privilege as stored -> key."""
    found: dict[str, dict[str, KeyValue]] = {}
    prefix = keys.grantee_ids
    async for kv in in_turns(kvs):
        try:
            identity, _, privilege = below(kv, prefix).partition("/")
            if not identity or not is_name(privilege):
                raise CorruptRecordError("the key is not <grantee id>/<privilege>")
            found.setdefault(identity, {})[privilege] = kv
        except CorruptRecordError as error:
            report(CorruptKey.of(kv, error))
    return found


async def grants_of(
    grantees: Iterable[StoredGrantee], privileges: Mapping[str, Mapping[str, KeyValue]]
) -> dict[str, tuple[Grant, ...]]:
    """Joins grantees with the privileges below their ids: role -> grants, in order of the keys.

    Two keys of one grantee, the older and the newer form, count together. Where both have a
    privilege, the grantor is that of the older form.
    """
    found: dict[Grantee, dict[str, Grant]] = {}
    # By the newer form, so that both forms of a grantee are neighbours, the older one first.
    ordered = sorted(grantees, key=lambda each: (each.grantee.key, each.has_newest_form))
    async for stored in in_turns(ordered):
        grantee = stored.grantee
        grants = found.setdefault(grantee, {})
        for privilege, kv in privileges.get(stored.id, {}).items():
            if privilege not in grants:
                grants[privilege] = Grant(
                    grantee.object_type,
                    grantee.database,
                    grantee.object,
                    privilege,
                    kv.value.decode(errors="replace"),
                )
    by_role: dict[str, list[Grant]] = {}
    async for grantee, grants in in_turns(found.items()):
        if grants:
            by_role.setdefault(grantee.role, []).extend(grants[each] for each in sorted(grants))
    return {role: tuple(grants) for role, grants in by_role.items()}


async def privileges_below(
    reads: Reads, keys: Keys, ids: Iterable[str], revision: int
) -> dict[str, dict[str, KeyValue]]:
    """Returns id -> privilege -> key at a revision. Raises CompactedError."""
    prefixes = [keys.grants_of(each) for each in sorted(ids)]
    read = await reads.below_each(prefixes, revision=revision)
    return await privileges_of(keys, (kv for kvs in read for kv in kvs))


async def grants_below(
    reads: Reads, keys: Keys, grantees: Sequence[StoredGrantee], revision: int
) -> dict[str, tuple[Grant, ...]]:
    """Returns role -> grants of these grantees at a revision. Raises CompactedError."""
    ids = {each.id for each in grantees}
    return await grants_of(grantees, await privileges_below(reads, keys, ids, revision))


async def corrupt_role_records(client: EtcdClient, keys: Keys) -> tuple[CorruptKey, ...]:
    """Returns every key of roles, grants and groups that is left out of decisions.

    A grantee without privileges is none of them: Milvus leaves its key when it revokes the last.

    Raises EtcdError.
    """
    reads = Reads(client)

    async def read() -> tuple[CorruptKey, ...]:
        found: list[CorruptKey] = []
        roles = await reads.all_below(keys.roles)
        at = roles.revision
        roles_of(keys, roles.value, found.append)
        mappings = await reads.all_below(keys.mappings, revision=at, keys_only=True)
        roles_by_user(keys, mappings.value, found.append)
        groups_of(keys, (await reads.all_below(keys.groups, revision=at)).value, found.append)
        stored = await reads.all_below(keys.grantees, revision=at)
        grantees = await grantees_of(keys, stored.value, found.append)
        ids = await reads.all_below(keys.grantee_ids, revision=at, keys_only=True)
        await privileges_of(keys, ids.value, found.append)
        found += _shared_ids(grantees)
        return tuple(found)

    return await until_whole(read)


def _shared_ids(grantees: Iterable[StoredGrantee]) -> Iterable[CorruptKey]:
    by_id: dict[str, list[StoredGrantee]] = {}
    for each in grantees:
        by_id.setdefault(each.id, []).append(each)
    for identity, sharing in by_id.items():
        if len({each.grantee for each in sharing}) > 1:
            for each in sharing:
                yield CorruptKey(each.kv.key.decode(), f"shared legacy grantee id {identity}")
