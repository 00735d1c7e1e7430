"""Stores drops and renames of collections in etcd until they end, and changes the grants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from vecguard.errors import VecguardError
from vecguard.etcd import Compare, Delete, EtcdClient, Get, KeyValue, Operation, Put
from vecguard.etcd.reads import MOST_OPERATIONS, Reads, Snapshot, until_whole
from vecguard.milvus_layout import CorruptRecordError, Keys
from vecguard.milvus_layout.collection_changes import CollectionChange
from vecguard.milvus_layout.role_records import Grantee
from vecguard.milvus_layout.stored_roles import privileges_below, roles_of
from vecguard.observability.log import get_logger
from vecguard.privileges.catalogue import COLLECTION, GLOBAL
from vecguard.root_coord.store.grantee_state import (
    GranteeState,
    Transaction,
    add_change,
    granted_by,
    holders_of,
    ids_of,
)
from vecguard.root_coord.store.guarded_writes import GuardedWrites, Refusal
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome

log = get_logger(__name__)

# Privileges that move at once: each takes up to four conditions or operations.
_MOST_MOVED = 25
# Operations that remove grants at once.
_MOST_REMOVED = 100


class CollectionOutcome(Enum):
    """What the backend has done. `CollectionOutcome` in protos/vecguard/internal/v1 says more."""

    GONE = auto()
    MOVED = auto()
    STAYED = auto()


@dataclass(frozen=True, slots=True)
class Begun:
    """The result of the beginning of a change.

    Attributes:
        has_grants: whether there may be grants that have no effect from now on.
        pending: the other change of one of these names, if that is why it has not begun.
    """

    mutation: Mutation
    has_grants: bool = False
    pending: CollectionChange | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of the end of a change.

    Attributes:
        regained: whether grants may count again.
        roles: those whose grants were removed or moved.
    """

    mutation: Mutation
    regained: bool = False
    roles: tuple[str, ...] = ()


class EtcdCollectionChanges:
    """Begins and ends changes; `vecguard.milvus_layout.collection_changes` has their records.

    While a record exists, `PolicyReads` leaves the grants on the collection out, and `GrantChanges`
    gives none on any of its names. So no grants can be added meanwhile, and an end that was
    interrupted is repeated from its beginning.

    Grants count as grants on the collection if they name exactly its database and its name.
    """

    def __init__(self, client: EtcdClient, keys: Keys, writes: GuardedWrites) -> None:
        self._client = client
        self._reads = Reads(client)
        self._keys = keys
        self._writes = writes

    async def revision(self) -> int:
        """Returns the store's newest revision."""
        prefix = self._keys.collection_changes.encode()
        return (await self._client.range(prefix, prefix=True, count_only=True)).revision

    async def pending(self) -> tuple[CollectionChange, ...]:
        """Returns the changes that have begun and not ended."""
        stored = await until_whole(lambda: self._reads.all_below(self._keys.collection_changes))
        found: dict[str, CollectionChange] = {}
        for kv in stored.value:
            change = self._readable(kv)
            if change is not None:
                found[change.token] = change
        return tuple(found.values())

    async def begin(self, change: CollectionChange, *, actor: Actor | None) -> Begun:
        """Writes the record, unless there is another one of one of the names.

        A change with the same token has begun already.
        """
        others: list[CollectionChange | None] = []

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            record_keys = self._record_keys(change)
            read = await self._reads.at_once([Get(key) for key in record_keys])
            for kv in (kv for kvs in read.value for kv in kvs):
                stored = self._readable(kv)
                if stored is None or stored.token != change.token:
                    others.append(stored)
                    raise Refusal(Outcome.COLLECTION_CHANGING)
                return Mutation(Outcome.APPLIED, kv.mod_revision)
            return await self._writes.apply(
                [*standing, *(Compare.version(key, "==", 0) for key in record_keys)],
                [Put(key, change.encode()) for key in record_keys],
            )

        mutation = await self._writes.repeat(actor, attempt)
        if not mutation.applied:
            return Begun(mutation, pending=others[-1] if others else None)
        return Begun(mutation, has_grants=await self._may_have_grants(change))

    async def end(self, wanted: CollectionChange, outcome: CollectionOutcome) -> Ended:
        """Removes or moves the grants, and removes the record in the last transaction.

        Does nothing if there is no record with this token. Very many grants take several
        transactions; none of the grants counts in between.
        """
        roles: dict[str, None] = {}
        while True:
            found = await self._stored(wanted)
            if found is None:
                return Ended(Mutation(Outcome.APPLIED))
            change, is_pending = found
            if outcome is CollectionOutcome.MOVED and not change.is_rename:
                return Ended(Mutation(Outcome.INVALID, detail="a drop moves no grants"))
            if outcome is CollectionOutcome.STAYED:
                regained = await self._may_have_grants(change)
                mutation = await self._remove_record(change, is_pending, [])
            else:
                regained = outcome is CollectionOutcome.MOVED
                if regained:
                    await self._move(change, is_pending, roles)
                mutation = await self._remove(change, is_pending, roles)
            if mutation is not None:
                return Ended(mutation, regained=regained, roles=tuple(roles))

    async def _stored(self, wanted: CollectionChange) -> tuple[CollectionChange, Compare] | None:
        """Returns a record, and the condition that it still exists."""
        key = self._keys.collection_change(*wanted.source).encode()
        result = await self._client.range(key)
        for kv in result.kvs:
            change = self._readable(kv)
            if change is not None and change.token == wanted.token:
                return change, Compare.mod_revision(key, "==", kv.mod_revision)
        return None

    async def _may_have_grants(self, change: CollectionChange) -> bool:
        try:
            return bool((await self._grantees(change.source)).value)
        except VecguardError:
            return True

    async def _grantees(self, name: tuple[str, str]) -> Snapshot[dict[Grantee, list[KeyValue]]]:
        """Returns the keys of all roles' grants on a collection, in all forms."""

        async def read() -> Snapshot[dict[Grantee, list[KeyValue]]]:
            roles = await self._reads.all_below(self._keys.roles, keys_only=True)
            grantees = [
                Grantee(role.name, object_type, *name)
                for role in roles_of(self._keys, roles.value)
                for object_type in (COLLECTION, GLOBAL)
            ]
            wanted = [(grantee, key) for grantee in grantees for key in grantee.keys]
            gets = [Get(self._keys.grantee(key).encode()) for _, key in wanted]
            answers = await self._reads.at_once(gets, revision=roles.revision)
            found: dict[Grantee, list[KeyValue]] = {}
            for (grantee, _), kvs in zip(wanted, answers.value, strict=True):
                if kvs:
                    found.setdefault(grantee, []).extend(kvs)
            return Snapshot(roles.revision, found)

        return await until_whole(read)

    async def _remove(
        self, change: CollectionChange, is_pending: Compare, roles: dict[str, None]
    ) -> Mutation | None:
        """Removes all grants on the source, and adds their roles to `roles`.

        Returns None if the record has changed.
        """
        grantees = (await self._grantees(change.source)).value
        roles |= {grantee.role: None for grantee in grantees}
        shared = await self._shared_ids(grantees)
        operations: list[Operation] = []
        for grantee, kvs in grantees.items():
            # First what is below the ids: it is not found again without the keys.
            operations += [
                Delete(self._keys.grants_of(each).encode(), prefix=True)
                for each in sorted((ids_of(kvs) | {grantee.id}) - shared)
            ]
            operations += [Delete(kv.key) for kv in kvs]
        while len(operations) > _MOST_REMOVED:
            some, operations = operations[:_MOST_REMOVED], operations[_MOST_REMOVED:]
            if await self._writes.apply([is_pending], some) is None:
                return None
        return await self._remove_record(change, is_pending, operations)

    async def _remove_record(
        self, change: CollectionChange, is_pending: Compare, operations: Iterable[Operation]
    ) -> Mutation | None:
        return await self._writes.apply(
            [is_pending], [*operations, *(Delete(key) for key in self._record_keys(change))]
        )

    async def _move(
        self, change: CollectionChange, is_pending: Compare, roles: dict[str, None]
    ) -> None:
        """Moves all grants on the source to the target, unless the record changes.

        Adds their roles to `roles`.
        """
        for grantee in (await self._grantees(change.source)).value:
            roles[grantee.role] = None
            to = Grantee(grantee.role, grantee.object_type, change.new_database, change.new_name)
            part = partial(self._part, grantee, to)
            while (transaction := await until_whole(part)) is not None:
                transaction.conditions.append(is_pending)
                applied = await self._writes.apply(transaction.conditions, transaction.operations)
                if applied is None and await self._stored(change) is None:
                    return

    async def _part(self, grantee: Grantee, to: Grantee) -> Transaction | None:
        """Returns what moves some privileges; None if there are none. Raises CompactedError."""
        gets = [Get(self._keys.grantee(key).encode()) for key in (*grantee.keys, *to.keys)]
        read = await self._reads.at_once(gets)
        kvs = dict(zip((*grantee.keys, *to.keys), (kvs[:1] for kvs in read.value), strict=True))
        ids = ids_of(kv for found in kvs.values() for kv in found) | {to.id}
        if await self._shared_ids({grantee: _of(grantee, kvs), to: _of(to, kvs)}):
            # Whose privileges are below such an id is unknown, so they are not given to a new name.
            log.warning("grants_not_moved", role=grantee.role, object=grantee.object)
            return None
        privileges = await privileges_below(self._reads, self._keys, ids, read.revision)
        state, new_state = (
            GranteeState(
                each,
                {key: kvs[key][0] for key in each.keys if kvs[key]},
                privileges,
                read.revision,
            )
            for each in (grantee, to)
        )
        granted = granted_by(state)
        # All privileges below an older id of the target are rewritten in the same transaction.
        most = 1 if new_state.older_ids else _MOST_MOVED
        some = {privilege: granted[privilege] for privilege in sorted(granted)[:most]}
        if not some:
            return None
        holders = [kv for privilege in some for kv in holders_of(state, privilege)]
        transaction = Transaction(
            [
                Compare.version(self._keys.role(grantee.role).encode(), ">", 0),
                # What was revoked meanwhile must not come back.
                *(Compare.mod_revision(kv.key, "==", kv.mod_revision) for kv in holders),
                *(Compare.mod_revision(kv.key, "==", kv.mod_revision) for kv in _of(grantee, kvs)),
            ],
            [Delete(kv.key) for kv in holders],
        )
        add_change(transaction, self._keys, new_state, some, give=True)
        # `end` adds a condition, and the fence is another.
        if max(len(transaction.conditions) + 2, len(transaction.operations)) > MOST_OPERATIONS:
            # Otherwise the change would never end.
            log.warning("grants_not_moved", role=grantee.role, object=grantee.object)
            return None
        return transaction

    async def _shared_ids(self, grantees: Mapping[Grantee, Sequence[KeyValue]]) -> set[str]:
        """Returns the ids of these grantees that other grantees have, too: older ones may."""
        older = {
            each for grantee, kvs in grantees.items() for each in ids_of(kvs) if each != grantee.id
        }
        if not older:
            return set()
        own = {kv.key for kvs in grantees.values() for kv in kvs}
        stored = await until_whole(lambda: self._reads.all_below(self._keys.grantees))
        return older & ids_of(kv for kv in stored.value if kv.key not in own)

    def _record_keys(self, change: CollectionChange) -> list[bytes]:
        return [self._keys.collection_change(*name).encode() for name in change.names]

    def _readable(self, kv: KeyValue) -> CollectionChange | None:
        try:
            return CollectionChange.decode(kv.value)
        except CorruptRecordError as error:
            log.warning(
                "corrupt_collection_change", key=kv.key.decode(errors="replace"), error=str(error)
            )
            return None


def _of(grantee: Grantee, kvs: Mapping[str, Sequence[KeyValue]]) -> list[KeyValue]:
    return [kv for key in grantee.keys for kv in kvs[key]]
