"""Which root coord is the active one: elected in etcd, for one term.

A leader key bound to an etcd lease names the active root coord. The revision at which it
was created is the term: a fencing token that every change compares, so that a deposed
leader cannot write. By its own clock a leader counts its lease from the sending of the
last keepalive that etcd confirmed, and so stops granting anything before another one can
have been elected.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from math import ceil
from random import random
from typing import Protocol

from vecguard.backoff import Backoff, BackoffPolicy
from vecguard.clock import Clock
from vecguard.clock_margin import ClockMargin
from vecguard.errors import UnavailableError, VecguardError
from vecguard.etcd import Compare, Delete, EtcdClient, Get, Operation, Put, RangeResult, WatchBatch
from vecguard.milvus_layout import Keys
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.store.fence import Fence

log = get_logger(__name__)

# Two keepalives may fail before the third one comes too late.
_KEEPALIVES_PER_LEASE = 3
_SHORTEST_REQUEST_SECONDS = 0.2
# A stop does not wait long for an etcd that is gone: the lease ends by itself.
_RESIGN_SECONDS = 1.0
# Between attempts that etcd did not answer.
_DELAYS = BackoffPolicy(first_seconds=0.05, longest_seconds=1.0, factor=2.0, jitter=(0.5, 1.0))
# A watch is the fast way to learn of a vacancy; looking again now and then is the sure one.
_LOOK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ElectionKeys:
    """Where the election is held.

    Attributes:
        leader: exists while there is a leader; its value is the leader's address.
        leases: exists from the first election on, and while a leader that did not step
            down in good order may have granted leases that still run; its value is the
            longest that one of them can be, in milliseconds.
    """

    leader: bytes
    leases: bytes

    @classmethod
    def of(cls, keys: Keys) -> "ElectionKeys":
        """Keys of our own below Milvus's root, where Milvus keeps nothing."""
        return cls(keys.leader.encode(), keys.leases.encode())


class Leadership:
    """One term, from its election on.

    Attributes:
        term: the fencing token.
        earlier_lease_seconds: how long a lease can be that was granted before this term and
            still runs; None when there is none: nobody has led before, or every leader has
            stepped down in good order.
    """

    def __init__(
        self,
        client: EtcdClient,
        keys: ElectionKeys,
        clock: Clock,
        *,
        term: int,
        earlier_lease_seconds: float | None,
        lease_id: int,
        usable_seconds: float,
        valid_until: float,
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._lease_id = lease_id
        self._usable_seconds = usable_seconds
        self._valid_until = valid_until
        self.term = term
        self.earlier_lease_seconds = earlier_lease_seconds

    @property
    def clean(self) -> bool:
        """Whether no lease of an earlier leader can still run."""
        return self.earlier_lease_seconds is None

    @property
    def fence(self) -> Fence:
        """What every write of this term is guarded by."""
        return Fence(self._keys.leader, self.term)

    def is_valid(self) -> bool:
        """Whether nobody else can have been elected yet, by this process's clock."""
        return self._clock() < self._valid_until

    def require(self) -> None:
        """Raises LeadershipLostError unless the leadership is valid."""
        if not self.is_valid():
            raise LeadershipLostError

    async def hold(self) -> None:
        """Keeps the leadership alive. Ends by raising LeadershipLostError.

        The leader key is looked at as well: somebody may have deleted it by hand, and a
        leader that goes on beside another one grants leases that nobody waits for.
        """
        while True:
            await asyncio.sleep(self._usable_seconds / _KEEPALIVES_PER_LEASE)
            sent = self._clock()
            try:
                remaining = await self._client.lease_keep_alive_once(
                    self._lease_id, timeout_seconds=self._remaining_seconds()
                )
                leader = await self._client.range(
                    self._keys.leader, timeout_seconds=self._remaining_seconds()
                )
            except UnavailableError as error:
                log.warning("keepalive_failed", reason=error.reason)
                self.require()
                continue
            if not remaining:
                raise LeadershipLostError
            self.fence.require(leader)
            self._valid_until = sent + self._usable_seconds

    def _remaining_seconds(self) -> float:
        return max(_SHORTEST_REQUEST_SECONDS, self._valid_until - self._clock())

    async def resign(self, *, in_good_order: bool) -> None:
        """Lets another one be elected at once.

        `in_good_order` says that no session holds a lease any more; the successor then
        need not wait. Failing is no harm: the lease ends by itself.
        """
        self._valid_until = float("-inf")
        changes: list[Operation] = [Delete(self._keys.leader)]
        if in_good_order:
            changes.append(Delete(self._keys.leases))
        with _failing_is_no_harm():
            await self._client.txn([self.fence.condition], changes, timeout_seconds=_RESIGN_SECONDS)
        # Also if etcd refuses the deletion for want of space: this deletes the leader's key, too.
        with _failing_is_no_harm():
            await self._client.lease_revoke(self._lease_id, timeout_seconds=_RESIGN_SECONDS)


@contextmanager
def _failing_is_no_harm() -> Iterator[None]:
    try:
        yield
    except VecguardError as error:
        log.warning("resignation_failed", reason=error.reason)


class Observer(Protocol):
    """Hears how the election goes while somebody else is, or nobody can be, the active one."""

    def leader_seen(self, address: str) -> None:
        """The active one listens there; empty: there is none."""

    def election_failed(self, message: str) -> None:
        """No answer from etcd; the election goes on."""


class Election:
    """Stands for election until elected."""

    def __init__(
        self,
        client: EtcdClient,
        keys: ElectionKeys,
        *,
        address: str,
        ttl_seconds: float,
        lease_ttl_seconds: float,
        margin: ClockMargin,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Stands under `address`, which standbys tell their callers.

        Once elected, it will grant sessions leases of `lease_ttl_seconds`.
        """
        self._client = client
        self._keys = keys
        self._address = address
        self._ttl_seconds = ttl_seconds
        self._lease_ttl_seconds = lease_ttl_seconds
        self._margin = margin
        self._clock = clock
        self._observer = observer
        self._failure = RepeatedFailure(log, "election_failed", over="election_goes_on")

    async def campaign(self) -> Leadership:
        """Waits, for as long as it takes, until this root coord is the active one."""
        backoff = Backoff(_DELAYS, random)
        while True:
            try:
                leadership = await self._stand()
                self._failure.ended()
                if leadership is not None:
                    return leadership
                await self._until_vacant()
            except VecguardError as error:
                self._failure.failed(error.message, reason=error.reason, error=error.message)
                self._observer.election_failed(error.message)
                await asyncio.sleep(backoff.failed())
            else:
                backoff.succeeded()

    async def _stand(self) -> Leadership | None:
        """One attempt; None when somebody else is the leader."""
        leases = await self._client.range(self._keys.leases, timeout_seconds=self._ttl_seconds)
        seen_revision = leases.kvs[0].mod_revision if leases.kvs else 0
        earlier = self._lease_recorded(leases)
        longest = max(self._lease_ttl_seconds, earlier or 0.0)
        sent = self._clock()
        lease = await self._client.lease_grant(
            max(1, round(self._ttl_seconds)), timeout_seconds=self._ttl_seconds
        )
        try:
            result = await self._client.txn(
                [
                    Compare.version(self._keys.leader, "==", 0),
                    Compare.mod_revision(self._keys.leases, "==", seen_revision),
                ],
                [
                    Put(self._keys.leader, self._address.encode(), lease.id),
                    Put(self._keys.leases, str(ceil(longest * 1000)).encode()),
                ],
                [Get(self._keys.leader)],
                timeout_seconds=self._ttl_seconds,
            )
        except VecguardError:
            # If it was applied, this ends the term before it has begun; if not, a lease less.
            await self._client.lease_revoke(lease.id)
            raise
        if not result.succeeded:
            await self._client.lease_revoke(lease.id)
            self._remember_leader(result.responses[0])
            return None
        usable = self._margin.usable_seconds(lease.ttl_seconds)
        return Leadership(
            self._client,
            self._keys,
            self._clock,
            term=result.revision,
            earlier_lease_seconds=earlier,
            lease_id=lease.id,
            usable_seconds=usable,
            valid_until=sent + usable,
        )

    def _lease_recorded(self, leases: RangeResult) -> float | None:
        """The longest lease that may still run, in seconds; None for none.

        The setting may have been longer when it was granted. A version before this one
        recorded no length: then our own has to do.
        """
        if not leases.kvs:
            return None
        recorded = leases.kvs[0].value
        return int(recorded) / 1000 if recorded.isdigit() else self._lease_ttl_seconds

    async def _until_vacant(self) -> None:
        """Returns when there may be no leader."""
        leader = await self._client.range(self._keys.leader)
        self._remember_leader(leader)
        if not leader.kvs:
            return
        changes = self._client.watch(self._keys.leader, start_revision=leader.revision + 1)
        async with aclosing(changes):
            await _first_deletion(changes, _LOOK_AGAIN_SECONDS)

    def _remember_leader(self, leader: object) -> None:
        if isinstance(leader, RangeResult):
            address = leader.kvs[0].value.decode(errors="replace") if leader.kvs else ""
            self._observer.leader_seen(address)


async def _first_deletion(
    changes: AsyncGenerator[WatchBatch, None], timeout_seconds: float
) -> None:
    try:
        async with asyncio.timeout(timeout_seconds):
            async for batch in changes:
                if any(event.kind == "delete" for event in batch.events):
                    return
    except TimeoutError:
        return
