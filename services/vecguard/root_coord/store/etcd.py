"""Stores credentials in etcd, in Milvus's layout."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from vecguard.concurrency.fresh_call import FreshCall
from vecguard.etcd import (
    CompactedError,
    Compare,
    Delete,
    EtcdClient,
    KeyValue,
    Operation,
    Put,
)
from vecguard.etcd.model import key_range
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.observability.log import get_logger
from vecguard.passwords import DUMMY_HASH, PasswordHash
from vecguard.root_coord.store.absent_record import AbsentRecord
from vecguard.root_coord.store.fence import Fence
from vecguard.root_coord.store.interface import (
    Actor,
    Mutation,
    Outcome,
    Snapshot,
    StoredCredential,
)
from vecguard.root_coord.store.own_writes import OwnWrites, Write
from vecguard.root_record import RootState, root_marker, root_state
from vecguard.usernames import ROOT

log = get_logger(__name__)

# Records read at a time. Reading a page blocks the event loop, the leader's keepalives
# included, for some 50 ms.
_PAGE = 500


class EtcdCredentialStore:
    """Implements `CredentialStore`; every change is one guarded transaction."""

    def __init__(
        self,
        client: EtcdClient,
        keys: Keys,
        *,
        fence: Fence,
        own_writes: OwnWrites,
    ) -> None:
        """Creates a store below `keys`.

        Args:
            client: the client of the etcd cluster.
            keys: where the credentials are.
            fence: refuses writes with LeadershipLostError once the term is over.
            own_writes: records every hash before it is written.
        """
        self._client = client
        self._keys = keys
        self._fence = fence
        self._own_writes = own_writes
        self._absent = AbsentRecord(b"", Record.new(DUMMY_HASH, "").encode())
        # After a restart every proxy asks at the same moment: they share one read.
        self._read_all = FreshCall(self._read_all_users)

    async def get(self, username: str) -> Snapshot[StoredCredential | None]:
        result = await self._client.range(self._keys.user(username).encode())
        read = self._credential(result.kvs[0] if result.kvs else self._absent.read())
        return Snapshot(result.revision, read if result.kvs else None)

    async def list_all(self) -> Snapshot[tuple[StoredCredential, ...]]:
        return await self._read_all()

    async def _read_all_users(self) -> Snapshot[tuple[StoredCredential, ...]]:
        while True:
            with suppress(CompactedError):  # compacted between two pages: read again
                return await self._read_pages()

    async def _read_pages(self) -> Snapshot[tuple[StoredCredential, ...]]:
        first, end = key_range(self._keys.users.encode(), prefix=True)
        page = await self._client.range(first, range_end=end, limit=_PAGE)
        revision, found = page.revision, list(map(self._credential, page.kvs))
        while page.more:
            page = await self._client.range(
                page.kvs[-1].key + b"\0", range_end=end, limit=_PAGE, revision=revision
            )
            found += map(self._credential, page.kvs)
        return Snapshot(revision, tuple(found))

    async def root_state(self) -> RootState:
        return await root_state(self._client, self._keys)

    async def create_first_root(self, password: PasswordHash) -> bool:
        marker = root_marker(self._keys)
        created = await self._write(
            password,
            [
                Compare.version(marker.key, "==", 0),
                # There is no user: every key's create revision is above 0.
                Compare.create_revision(self._keys.users.encode(), "<", 1, prefix=True),
            ],
            [Put(self._keys.user(ROOT).encode(), Record.new(password, "").encode()), marker],
        )
        return created is not None

    async def note_root(self) -> None:
        marker = root_marker(self._keys)
        await self._guarded(
            [
                Compare.version(marker.key, "==", 0),
                Compare.version(self._keys.user(ROOT).encode(), ">", 0),
            ],
            [marker],
        )

    async def create(
        self,
        username: str,
        password: PasswordHash,
        description: str,
        *,
        user_limit: int,
        actor: Actor | None = None,
    ) -> Mutation:
        key = self._keys.user(username).encode()
        value = Record.new(password, description).encode()
        while True:
            standing = await self._standing(actor)
            if standing is None:
                return Mutation(Outcome.ACTOR_REVOKED)
            users = await self._client.range(
                self._keys.users.encode(), prefix=True, count_only=True
            )
            existing = await self._client.range(key)
            if existing.kvs:
                return self._repeated_or(Outcome.USER_EXISTS, existing.kvs[0], password)
            if users.count >= user_limit:
                return Mutation(Outcome.USER_LIMIT_REACHED)
            # The limit holds under concurrency because the transaction applies only if no
            # user was created since they were counted.
            mutation = await self._write(
                password,
                [
                    *standing,
                    Compare.version(key, "==", 0),
                    Compare.create_revision(
                        self._keys.users.encode(), "<", users.revision + 1, prefix=True
                    ),
                ],
                [Put(key, value)],
            )
            if mutation is not None:
                return mutation

    async def update(
        self,
        username: str,
        *,
        expected_revision: int | None,
        password: PasswordHash | None,
        description: str | None,
        actor: Actor | None = None,
    ) -> Mutation:
        def changed(record: Record, revision: int) -> Record:
            if password is None:
                return record.rewritten(None, description, revision)
            return record.changed(password, description)

        return await self._update(username, expected_revision, password, changed, actor)

    async def rehash(
        self, username: str, expected_revision: int, password: PasswordHash
    ) -> Mutation:
        return await self._update(
            username,
            expected_revision,
            password,
            lambda record, revision: record.rewritten(password, None, revision),
            None,
        )

    async def _update(
        self,
        username: str,
        expected_revision: int | None,
        password: PasswordHash | None,
        changed: Callable[[Record, int], Record],
        actor: Actor | None,
    ) -> Mutation:
        key = self._keys.user(username).encode()
        while True:
            standing = await self._standing(actor)
            if standing is None:
                return Mutation(Outcome.ACTOR_REVOKED)
            result = await self._client.range(key)
            if not result.kvs:
                return Mutation(Outcome.USER_NOT_FOUND)
            stored = result.kvs[0]
            if expected_revision not in (None, stored.mod_revision):
                return self._repeated_or(Outcome.REVISION_CHANGED, stored, password)
            mutation = await self._write(
                password,
                [*standing, Compare.mod_revision(key, "==", stored.mod_revision)],
                [Put(key, changed(self._record(stored), stored.mod_revision).encode())],
            )
            if mutation is not None:
                return mutation

    async def delete(self, username: str, *, actor: Actor | None = None) -> Mutation:
        key = self._keys.user(username).encode()
        while True:
            standing = await self._standing(actor)
            if standing is None:
                return Mutation(Outcome.ACTOR_REVOKED)
            mutation = await self._write(
                username,
                [*standing, Compare.version(key, ">", 0)],
                [Delete(key), Delete(self._keys.roles_of(username).encode(), prefix=True)],
            )
            if mutation is not None:
                return mutation
            # When it was deleted before, that was at this revision or earlier.
            left = await self._client.range(key, count_only=True)
            if not left.count:
                return Mutation(Outcome.USER_NOT_FOUND, left.revision)

    async def _standing(self, actor: Actor | None) -> list[Compare] | None:
        """Returns the comparisons by which a transaction applies only while the actor is valid.

        None: the actor was deleted or has another password, so no change may be made. The actor
        stays valid when its record was rewritten with the same password (another hash of it, or
        another description).
        """
        if actor is None:
            return []
        key = self._keys.user(actor.username).encode()
        result = await self._client.range(key)
        if not result.kvs:
            return None
        stored = result.kvs[0]
        since = self._record(stored).password_since(stored.mod_revision)
        if not since <= actor.revision <= stored.mod_revision:
            return None
        return [Compare.mod_revision(key, "==", stored.mod_revision)]

    async def _write(
        self,
        write: Write | None,
        conditions: Sequence[Compare],
        changes: Sequence[Operation],
    ) -> Mutation | None:
        """Does `_guarded` and records the change as our own for the watch."""
        if write is None:
            return await self._guarded(conditions, changes)
        self._own_writes.add(write)
        mutation = None
        try:
            mutation = await self._guarded(conditions, changes)
        finally:
            if mutation is None:
                self._own_writes.discard(write)
        return mutation

    async def _guarded(
        self, conditions: Sequence[Compare], changes: Sequence[Operation]
    ) -> Mutation | None:
        """Returns the applied change; None when a condition does not hold."""
        result = await self._client.txn(
            [*conditions, self._fence.condition], changes, [self._fence.question]
        )
        if result.succeeded:
            return Mutation(Outcome.APPLIED, result.revision)
        self._fence.require(result.responses[0])
        return None

    def _credential(self, stored: KeyValue) -> StoredCredential:
        username = stored.key.decode(errors="replace").removeprefix(self._keys.users)
        record = self._record(stored)
        return StoredCredential(
            username, self._password(username, record), stored.mod_revision, record.description
        )

    def _record(self, stored: KeyValue) -> Record:
        try:
            return Record.decode(stored.value)
        except CorruptRecordError:
            return Record({})  # without a password; an administrator repairs it by a reset

    def _password(self, username: str, record: Record) -> PasswordHash | None:
        try:
            return record.password
        except CorruptRecordError as error:
            log.warning("corrupt_credential", user=username, error=str(error))
            return None

    def _repeated_or(
        self, outcome: Outcome, stored: KeyValue, password: PasswordHash | None
    ) -> Mutation:
        """Returns `outcome`; APPLIED if this same hash is stored: an earlier attempt wrote it."""
        try:
            if self._record(stored).password == password:
                return Mutation(Outcome.APPLIED, stored.mod_revision)
        except CorruptRecordError:
            pass
        return Mutation(outcome)
