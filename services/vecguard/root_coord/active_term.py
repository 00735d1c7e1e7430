"""Holds the parts of root coord that exist for one term only, and runs them."""

import asyncio
from collections.abc import Awaitable, Callable

from vecguard.clock import Clock
from vecguard.config import Settings
from vecguard.etcd import EtcdClient
from vecguard.milvus_layout import Keys
from vecguard.observability.log import get_logger
from vecguard.privileges.catalogue import Catalogue
from vecguard.root_coord.built_in_roles import initial_roles
from vecguard.root_coord.changes import Changes
from vecguard.root_coord.collection_changes import CollectionChanges
from vecguard.root_coord.credentials import Credentials
from vecguard.root_coord.election import Leadership
from vecguard.root_coord.external_changes import ExternalChanges
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.policy_cache import PolicyCache
from vecguard.root_coord.roles import Roles
from vecguard.root_coord.root_password import RootPassword
from vecguard.root_coord.session_hub import LeaseTerms, SessionHub
from vecguard.root_coord.session_state import SessionState
from vecguard.root_coord.store.actors import Actors
from vecguard.root_coord.store.collection_changes import EtcdCollectionChanges
from vecguard.root_coord.store.etcd import EtcdCredentialStore
from vecguard.root_coord.store.guarded_writes import GuardedWrites
from vecguard.root_coord.store.own_writes import OwnWrites
from vecguard.root_coord.store.policy_reads import PolicyReads
from vecguard.root_coord.store.roles import EtcdRoleStore
from vecguard.root_record import LOST

log = get_logger(__name__)

# A longer wait would delay the stop; leases that are not given back run out by themselves.
_SURRENDER_SECONDS = 1.0


class ActiveTerm:
    """Holds store, sessions and watch of one term. The term fences every write.

    Attributes:
        store: the credentials.
        role_store: the roles, grants and privilege groups.
        policy: answers from memory by which grants proxies decide.
        root_is_lost: whether the store has lost root's record. All other users are served.
        root_password: whether it is the well-known one.
    """

    def __init__(
        self,
        client: EtcdClient,
        keys: Keys,
        leadership: Leadership,
        *,
        settings: Settings,
        clock: Clock,
        metrics: RootCoordMetrics,
    ) -> None:
        own_writes = OwnWrites()
        self.leadership = leadership
        catalogue = Catalogue.of(settings.common.security.rbac)
        policy = PolicyReads(client, keys, catalogue)
        self._actors = Actors(client, keys, policy, changed_at=leadership.term)
        writes = GuardedWrites(
            client, keys, fence=leadership.fence, own_writes=own_writes, actors=self._actors
        )
        self.store = EtcdCredentialStore(client, keys, writes)
        self.role_store = EtcdRoleStore(client, keys, writes, catalogue)
        collection_changes = EtcdCollectionChanges(client, keys, writes)
        self.policy = PolicyCache(self.role_store)
        self._initial_roles = initial_roles(settings)
        # A leader before this one may have granted leases until the moment of the election.
        earlier = leadership.earlier_lease_seconds
        predecessor_until = None
        if earlier is not None:
            wait = settings.lease.margin.outlasting_seconds(earlier)
            predecessor_until = clock() + wait
            log.info("awaits_earlier_leases", term=leadership.term, seconds=round(wait, 3))
        sessions = SessionState(settings.lease.ttl, predecessor_until=predecessor_until)
        self.hub = SessionHub(
            sessions,
            LeaseTerms(leadership.term, settings.lease.ttl, settings.lease.renew_interval),
            clock,
            may_grant=leadership.is_valid,
            invalidated=metrics.invalidated,
        )
        self._changes = Changes(self.hub)
        self.credentials = Credentials(
            self.store, self._changes, user_limit=settings.proxy.max_user_num
        )
        self.roles = Roles(
            self.role_store,
            self._changes,
            role_limit=settings.proxy.max_role_num,
            built_in=self._initial_roles,
            changed=self.policy.forget,
        )
        self.collections = CollectionChanges(
            collection_changes, self._changes, clock, changed=self.policy.forget
        )
        self.root_is_lost = False
        self.root_password = RootPassword(self.store)
        self._external = ExternalChanges(
            client,
            keys,
            own_writes,
            self.hub,
            seen=metrics.external_change_seen,
            policy_seen=self._policy_seen,
            root_seen=lambda is_there: self.root_seen(is_there=is_there),
        )

    @property
    def term(self) -> int:
        """The fencing token."""
        return self.leadership.term

    def root_seen(self, *, is_there: bool) -> None:
        """Records whether root's record is in the store, and logs when that changes.

        To be called at each change of the record.
        """
        self.root_password.changed()
        if is_there == self.root_is_lost:
            self.root_is_lost = not is_there
            if is_there:
                log.info("root_is_back")
            else:
                log.error("root_is_lost", error=LOST)

    def _policy_seen(self, revision: int) -> None:
        self.policy.changed_at(revision)
        self._actors.policy_changed_at(revision)

    async def ensure_roles(self) -> None:
        """Creates the built-in roles that are missing, and gives the grants that they should have.

        A grant that was revoked comes back, as in Milvus. Raises VecguardError.
        """
        await self.role_store.ensure_roles(self._initial_roles)

    async def run(self, prepare: Callable[[], Awaitable[None]], serve: Callable[[], None]) -> None:
        """Holds the leadership, prepares, begins to serve and follows external changes.

        The leadership is held while `prepare` runs, however long that takes.

        Raises:
            BaseExceptionGroup: the only way in which it ends; with LeadershipLostError, an
                error of `prepare`, or the error that ended the watch.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.leadership.hold())
            await prepare()
            serve()
            tasks.create_task(self.root_password.follow())
            # Sessions are served from now on and read at this term's revision or later.
            tasks.create_task(self._external.follow_credentials(self.term))
            tasks.create_task(self._external.follow_groups(self.term))
            tasks.create_task(self._external.follow_collection_changes(self.term))

    async def step_down(self, timeout_seconds: float) -> None:
        """Finishes running changes, revokes the leases and lets another root coord lead.

        Waits at most `timeout_seconds` for the running changes.
        """
        await self.drain(timeout_seconds)
        in_good_order = await self.hub.surrender(_SURRENDER_SECONDS)
        await self.leadership.resign(in_good_order=in_good_order)
        log.info("stepped_down", term=self.term, in_good_order=in_good_order)

    async def drain(self, timeout_seconds: float) -> None:
        """Refuses new changes and waits until the running ones are finished."""
        await self._changes.drain(timeout_seconds)
