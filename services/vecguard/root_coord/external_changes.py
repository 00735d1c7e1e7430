"""Revokes the older state when another program changes etcd: etcdctl, a restore, Milvus."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from vecguard.concurrency.turns import in_turns
from vecguard.etcd import CompactedError, EtcdClient, Event
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.session_state import (
    FullInvalidation,
    Invalidation,
    PolicyInvalidation,
    Revocation,
)
from vecguard.root_coord.store.own_writes import OwnWrites
from vecguard.usernames import ROOT

log = get_logger(__name__)


class ExternalChanges:
    """Watches users, roles and groups, and revokes the older state after foreign changes."""

    def __init__(
        self,
        client: EtcdClient,
        keys: Keys,
        own: OwnWrites,
        hub: SessionHub,
        *,
        seen: Callable[[], None],
        policy_seen: Callable[[int], None],
        root_seen: Callable[[bool], None],
    ) -> None:
        """Prepares a watch, which the other methods begin.

        Args:
            client: the client of the etcd cluster.
            keys: where the records are.
            own: the changes that this root coord made itself.
            hub: sends the revocations; nothing waits for the acknowledgements.
            seen: called at each revocation of what this root coord did not change.
            policy_seen: called before the notice of each change of roles, grants or groups, and at
                own ones, with a revision that is not older.
            root_seen: called at each change of root's record with whether it is there.
        """
        self._root_seen = root_seen
        self._seen = seen
        self._policy_seen = policy_seen
        self._client = client
        self._keys = keys
        self._own = own
        self._hub = hub
        self._not_of_policy = keys.users.encode(), keys.mappings.encode()

    async def follow_credentials(self, after_revision: int) -> None:
        """Follows every change of users, roles and grants after a revision, until cancelled.

        When etcd compacted changes before they were seen, it revokes everything, because any of it
        may have changed.
        """
        await self._follow_on(self._keys.credential, after_revision, self._credentials_unseen)

    async def follow_groups(self, after_revision: int) -> None:
        """Does the same for privilege groups.

        They have their own watch: an etcd that Milvus uses, too, has much between the prefixes.
        """
        await self._follow_on(self._keys.groups, after_revision, self._policy_unseen)

    async def follow_collection_changes(self, after_revision: int) -> None:
        """Does the same for the records of drops and renames, which an administrator may delete."""
        await self._follow_on(self._keys.collection_changes, after_revision, self._policy_unseen)

    async def _follow_on(
        self, prefix: str, revision: int, compacted: Callable[[int], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await self._follow(prefix, revision + 1)
            except CompactedError:
                log.warning("watch_compacted", after_revision=revision)
                current = await self._client.range(prefix.encode(), prefix=True, count_only=True)
                revision = current.revision
                # After that read: everything that a proxy reads from now on is at least as new.
                self._policy_seen(revision)
                await compacted(revision)

    async def _credentials_unseen(self, _revision: int) -> None:
        root = await self._client.range(self._keys.user(ROOT).encode(), count_only=True)
        self._root_seen(bool(root.count))
        self._hub.announce(FullInvalidation())

    async def _policy_unseen(self, revision: int) -> None:
        self._hub.announce(PolicyInvalidation(revision))

    async def _follow(self, prefix: str, start_revision: int) -> None:
        changes = self._client.watch(
            prefix.encode(), prefix=True, start_revision=start_revision, prev_kv=True
        )
        async with aclosing(changes):
            async for batch in changes:
                if any(map(self._is_of_policy, batch.events)):
                    self._policy_seen(batch.revision)
                # One change of grants has several keys; it is announced once.
                revocations: dict[Revocation, None] = {}
                async for event in in_turns(batch.events):
                    self._note_root(event)
                    if not await self._own.has(event.kv.mod_revision):
                        revocations |= dict.fromkeys(self._revoked_by(event))
                for revocation in revocations:
                    self._seen()
                    log.info("changed_in_store", **_described(revocation))
                    self._hub.announce(revocation)

    def _is_of_policy(self, event: Event) -> bool:
        return not event.kv.key.startswith(self._not_of_policy)

    def _note_root(self, event: Event) -> None:
        if event.kv.key == self._keys.user(ROOT).encode():
            self._root_seen(event.kind == "put")

    def _revoked_by(self, event: Event) -> list[Revocation]:
        """Returns what another program's change revokes."""
        key, revision = event.kv.key.decode(errors="replace"), event.kv.mod_revision
        if key.startswith(self._keys.users):
            if event.kind == "put" and event.prev_kv is not None:
                password, before = _password(event.kv.value), _password(event.prev_kv.value)
                if password is not None and password == before:
                    return []
            username = key.removeprefix(self._keys.users)
            return [Invalidation(username, revision)]
        if key.startswith(self._keys.mappings):
            username = key.removeprefix(self._keys.mappings).partition("/")[0]
            return [Invalidation(username, revision, roles_only=True)]
        return [PolicyInvalidation(revision)]


def _described(revocation: Revocation) -> dict[str, object]:
    """Returns the fields that name a change in the log."""
    match revocation:
        case Invalidation(username, revision, roles_only=True):
            return {"user": username, "roles_only": True, "revision": revision}
        case Invalidation(username, revision):
            return {"user": username, "revision": revision}
        case PolicyInvalidation(revision):
            return {"roles": True, "revision": revision}
        case _:
            return {}


def _password(value: bytes) -> PasswordHash | None:
    try:
        return Record.decode(value).password
    except CorruptRecordError:
        return None
