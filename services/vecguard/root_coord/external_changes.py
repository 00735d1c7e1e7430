"""Revokes credentials that others change in etcd: etcdctl, a restore, a Milvus."""

from collections.abc import Callable
from contextlib import aclosing

from vecguard.etcd import CompactedError, EtcdClient, Event
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.session_state import FullInvalidation, Invalidation
from vecguard.root_coord.store.own_writes import OwnWrites
from vecguard.usernames import ROOT

log = get_logger(__name__)


class ExternalChanges:
    """Watches the credentials' keys and revokes what root coord did not change itself."""

    def __init__(
        self,
        client: EtcdClient,
        keys: Keys,
        own: OwnWrites,
        hub: SessionHub,
        *,
        seen: Callable[[], None],
        root_seen: Callable[[bool], None],
    ) -> None:
        """Prepares a watch, which `run` begins.

        Args:
            client: the client of the etcd cluster.
            keys: where the credentials are.
            own: the changes that this root coord made itself.
            hub: sends the revocations; nothing waits for the acknowledgements.
            seen: called at each change that this root coord did not make.
            root_seen: called at each change of root's record with whether it is there.
        """
        self._root_seen = root_seen
        self._seen = seen
        self._client = client
        self._keys = keys
        self._own = own
        self._hub = hub

    async def run(self, after_revision: int) -> None:
        """Follows every change after a revision, until cancelled.

        When etcd compacted changes before they were seen, it revokes all credentials, because
        any of them may have changed.
        """
        revision = after_revision
        while True:
            try:
                await self._follow(revision + 1)
            except CompactedError:
                log.warning("watch_compacted", after_revision=revision)
                prefix = self._keys.users.encode()
                current = await self._client.range(prefix, prefix=True, count_only=True)
                revision = current.revision
                root = await self._client.range(self._keys.user(ROOT).encode(), count_only=True)
                self._root_seen(bool(root.count))
                # Hashes written in the gap are never taken out of this record; put back by
                # another program later, they would pass as our own.
                self._own.clear()
                # After that read: everything that a proxy reads from now on is at least as new.
                self._hub.announce(FullInvalidation())

    async def _follow(self, start_revision: int) -> None:
        changes = self._client.watch(
            self._keys.users.encode(), prefix=True, start_revision=start_revision, prev_kv=True
        )
        async with aclosing(changes):
            async for batch in changes:
                for event in batch.events:
                    self._judge(event)

    def _judge(self, event: Event) -> None:
        username = event.kv.key.decode(errors="replace").removeprefix(self._keys.users)
        if username == ROOT:
            self._root_seen(event.kind == "put")
        if event.kind == "delete" and self._own.take(username):
            return
        if event.kind == "put":
            password = _password(event.kv.value)
            before = _password(event.prev_kv.value) if event.prev_kv else None
            if password is not None and (self._own.take(password) or password == before):
                return
        self._seen()
        log.info("changed_in_store", user=username, revision=event.kv.mod_revision)
        self._hub.announce(Invalidation(username, event.kv.mod_revision))


def _password(value: bytes) -> PasswordHash | None:
    try:
        return Record.decode(value).password
    except CorruptRecordError:
        return None
