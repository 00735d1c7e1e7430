"""Works out what a change of grants reads and writes; does no I/O.

Milvus's grants of one role on one object are a key with an id, and a key below that id for each
privilege. What is written here has one form: the key names the database, and the id is the one
that `Grantee.id` computes. Older forms are rewritten when their grants change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vecguard.etcd import Compare, Delete, KeyValue, Operation, Put
from vecguard.milvus_layout import CorruptRecordError, Keys
from vecguard.milvus_layout.role_records import Grantee, grantee_id


@dataclass(slots=True)
class Transaction:
    """The conditions and operations of one transaction, as they are collected."""

    conditions: list[Compare] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GranteeState:
    """One grantee as it is stored.

    Attributes:
        stored: its keys in all forms that exist, by the key below `Keys.grantees`.
        privileges: what is below the ids: id -> privilege -> key. The grantee's own id is
            included even if no key refers to it: what is left below it has no effect.
        revision: at which this was read.
    """

    grantee: Grantee
    stored: Mapping[str, KeyValue]
    privileges: Mapping[str, Mapping[str, KeyValue]]
    revision: int

    @property
    def older_ids(self) -> tuple[str, ...]:
        """The ids that its keys have instead of its own."""
        return tuple(sorted(ids_of(self.stored.values()) - {self.grantee.id}))


def ids_of(stored: Iterable[KeyValue]) -> set[str]:
    """Returns the ids that these keys have as values. A value that is no id refers to nothing."""
    found = set()
    for kv in stored:
        try:
            found.add(grantee_id(kv.value))
        except CorruptRecordError:
            continue
    return found


def granted_by(state: GranteeState) -> dict[str, str]:
    """Returns privilege -> grantor by all keys; the older form of a key wins."""
    granted: dict[str, str] = {}
    for key in state.grantee.keys:
        for identity in ids_of([state.stored[key]] if key in state.stored else []):
            for privilege, kv in state.privileges.get(identity, {}).items():
                granted.setdefault(privilege, kv.value.decode(errors="replace"))
    return granted


def holders_of(state: GranteeState, privilege: str) -> Sequence[KeyValue]:
    """Returns the keys by which a privilege is granted."""
    return [
        state.privileges[identity][privilege]
        for identity in sorted(ids_of(state.stored.values()))
        if privilege in state.privileges.get(identity, {})
    ]


def add_change(
    transaction: Transaction,
    keys: Keys,
    state: GranteeState,
    wanted: Mapping[str, str],
    *,
    give: bool,
) -> bool:
    """Adds what gives or revokes privileges of one grantee. Returns whether there is a need to.

    Args:
        transaction: gets the conditions and operations.
        keys: where the grants are.
        state: the grantee as it is stored.
        wanted: privilege as stored -> the grantor's name. A grantor of what is granted already
            does not count.
        give: False revokes.
    """
    granted = granted_by(state)
    target = {**wanted, **granted} if give else _without(granted, wanted)
    present = wanted.keys() & granted.keys()
    transaction.conditions += [
        Compare.mod_revision(kv.key, "==", kv.mod_revision)
        for privilege in sorted(present)
        for kv in holders_of(state, privilege)
    ]
    transaction.conditions += [_unchanged(keys, state, key) for key in state.grantee.keys]
    if target == granted:
        return False
    _add_rewrite(transaction, keys, state, target)
    return True


def _add_rewrite(
    transaction: Transaction, keys: Keys, state: GranteeState, target: Mapping[str, str]
) -> None:
    grantee, operations = state.grantee, transaction.operations
    own = state.privileges.get(grantee.id, {})
    for key, kv in state.stored.items():
        if key != grantee.key or not target:
            operations.append(Delete(kv.key))
    newest = state.stored.get(grantee.key)
    if target and (newest is None or newest.value != grantee.id.encode()):
        operations.append(Put(keys.grantee(grantee.key).encode(), grantee.id.encode()))
    for older in state.older_ids:
        prefix = keys.grants_of(older).encode()
        operations.append(Delete(prefix, prefix=True))
        transaction.conditions.append(_nothing_new(prefix, state.revision))
        # They move. A grant that is deleted meanwhile must not come back.
        transaction.conditions += [
            Compare.mod_revision(kv.key, "==", kv.mod_revision)
            for kv in state.privileges.get(older, {}).values()
        ]
    prefix = keys.grants_of(grantee.id).encode()
    transaction.conditions.append(_nothing_new(prefix, state.revision))
    for privilege, grantor in target.items():
        kv_or_none = own.get(privilege)
        if kv_or_none is None or kv_or_none.value != grantor.encode():
            operations.append(Put(prefix + privilege.encode(), grantor.encode()))
    operations += [Delete(kv.key) for privilege, kv in own.items() if privilege not in target]


def _without(granted: Mapping[str, str], revoked: Mapping[str, str]) -> dict[str, str]:
    return {privilege: by for privilege, by in granted.items() if privilege not in revoked}


def _unchanged(keys: Keys, state: GranteeState, key: str) -> Compare:
    kv = state.stored.get(key)
    return Compare.mod_revision(
        keys.grantee(key).encode(), "==", 0 if kv is None else kv.mod_revision
    )


def _nothing_new(prefix: bytes, revision: int) -> Compare:
    """Holds while no key below the prefix was written after a revision."""
    return Compare.mod_revision(prefix, "<", revision + 1, prefix=True)
