"""Stores credentials in etcd, in Milvus's layout."""

from collections.abc import Callable
from dataclasses import replace

from vecguard.concurrency.fresh_call import FreshCall
from vecguard.etcd import Compare, Delete, EtcdClient, Get, KeyValue, Put
from vecguard.etcd.reads import Reads, Snapshot, until_whole
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.milvus_layout.stored_roles import roles_by_user
from vecguard.observability.log import get_logger
from vecguard.passwords import DUMMY_HASH, PasswordHash
from vecguard.root_coord.store.absent_record import AbsentRecord
from vecguard.root_coord.store.actors import readable_record
from vecguard.root_coord.store.guarded_writes import GuardedWrites
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome, StoredCredential
from vecguard.root_record import RootState, root_marker, root_state
from vecguard.usernames import ROOT

log = get_logger(__name__)


class EtcdCredentialStore:
    """Implements `CredentialStore`; every change is one guarded transaction."""

    def __init__(self, client: EtcdClient, keys: Keys, writes: GuardedWrites) -> None:
        """Creates a store below `keys`. `writes` makes its changes."""
        self._client = client
        self._reads = Reads(client)
        self._keys = keys
        self._writes = writes
        self._absent = AbsentRecord(b"", Record.new(DUMMY_HASH, "").encode())
        # After a restart every proxy asks at the same moment: they share one read.
        self._read_all = FreshCall(self._read_all_users)

    async def get(self, username: str) -> Snapshot[StoredCredential | None]:
        gets = [
            Get(self._keys.user(username).encode()),
            Get(self._keys.roles_of(username).encode(), prefix=True, keys_only=True),
        ]
        read = await until_whole(lambda: self._reads.at_once(gets))
        users, mappings = read.value
        credential = self._credential(users[0] if users else self._absent.read())
        if not users:
            return Snapshot(read.revision, None)
        roles = roles_by_user(self._keys, mappings).get(username, ())
        return Snapshot(read.revision, replace(credential, roles=roles))

    async def list_all(self) -> Snapshot[tuple[StoredCredential, ...]]:
        return await self._read_all()

    async def _read_all_users(self) -> Snapshot[tuple[StoredCredential, ...]]:
        return await until_whole(self._read_pages)

    async def _read_pages(self) -> Snapshot[tuple[StoredCredential, ...]]:
        users = await self._reads.all_below(self._keys.users)
        mappings = await self._reads.all_below(
            self._keys.mappings, revision=users.revision, keys_only=True
        )
        roles = roles_by_user(self._keys, mappings.value)
        return Snapshot(
            users.revision,
            tuple(
                replace(credential, roles=roles.get(credential.username, ()))
                for credential in map(self._credential, users.value)
            ),
        )

    async def root_state(self) -> RootState:
        return await root_state(self._client, self._keys)

    async def create_first_root(self, password: PasswordHash) -> bool:
        marker = root_marker(self._keys)
        created = await self._writes.apply(
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
        await self._writes.apply(
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
            standing = await self._writes.standing(actor)
            if isinstance(standing, Outcome):
                return Mutation(standing)
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
            mutation = await self._writes.apply(
                [
                    *standing,
                    Compare.version(key, "==", 0),
                    Compare.create_revision(
                        self._keys.users.encode(), "<", users.revision + 1, prefix=True
                    ),
                ],
                # Roles that are bound to the name are left from an earlier user.
                [
                    Delete(self._keys.roles_of(username).encode(), prefix=True),
                    Put(key, value),
                ],
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
            standing = await self._writes.standing(actor)
            if isinstance(standing, Outcome):
                return Mutation(standing)
            result = await self._client.range(key)
            if not result.kvs:
                return Mutation(Outcome.USER_NOT_FOUND)
            stored = result.kvs[0]
            if expected_revision not in (None, stored.mod_revision):
                return self._repeated_or(Outcome.REVISION_CHANGED, stored, password)
            mutation = await self._writes.apply(
                [*standing, Compare.mod_revision(key, "==", stored.mod_revision)],
                [Put(key, changed(readable_record(stored), stored.mod_revision).encode())],
            )
            if mutation is not None:
                return mutation

    async def delete(self, username: str, *, actor: Actor | None = None) -> Mutation:
        key = self._keys.user(username).encode()
        while True:
            standing = await self._writes.standing(actor)
            if isinstance(standing, Outcome):
                return Mutation(standing)
            mutation = await self._writes.apply(
                [*standing, Compare.version(key, ">", 0)],
                [Delete(key), Delete(self._keys.roles_of(username).encode(), prefix=True)],
            )
            if mutation is not None:
                return mutation
            # When it was deleted before, that was at this revision or earlier.
            left = await self._client.range(key, count_only=True)
            if not left.count:
                return Mutation(Outcome.USER_NOT_FOUND, left.revision)

    def _credential(self, stored: KeyValue) -> StoredCredential:
        username = stored.key.decode(errors="replace").removeprefix(self._keys.users)
        record = readable_record(stored)
        return StoredCredential(
            username, self._password(username, record), stored.mod_revision, record.description
        )

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
            if readable_record(stored).password == password:
                return Mutation(Outcome.APPLIED, stored.mod_revision)
        except CorruptRecordError:
            pass
        return Mutation(outcome)
