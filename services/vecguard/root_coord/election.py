"""Elects the active root coord in etcd, for one term.

A leader key bound to an etcd lease names the active root coord. The revision at which it
was created is the term: a fencing token that every change compares, so that a deposed
leader cannot write. By its own clock a leader counts its lease from the sending of the
last keepalive that etcd confirmed, and so stops granting leases before another root coord
can have been elected.
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

# Two keepalives may fail; after the third failure the lease is over.
_KEEPALIVES_PER_LEASE = 3
_SHORTEST_REQUEST_SECONDS = 0.2
# A stop does not wait long for an etcd that does not answer: the lease ends by itself.
_RESIGN_SECONDS = 1.0
# Between attempts that etcd did not answer.
_DELAYS = BackoffPolicy(first_seconds=0.05, longest_seconds=1.0, factor=2.0, jitter=(0.5, 1.0))
# The watch reports a vacancy fast. Reading again covers a watch that misses it.
_LOOK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ElectionKeys:
    """The etcd keys of the election.

    Attributes:
        leader: exists while there is a leader; its value is the leader's address.
        leases: exists from the first election on, and while a leader that did not step down cleanly
            may have granted leases that still run; its value is the longest possible length of such
            a lease, in milliseconds.
    """

    leader: bytes
    leases: bytes

    @classmethod
    def of(cls, keys: Keys) -> "ElectionKeys":
        """Returns keys below Milvus's root at which Milvus stores no data."""
        return cls(keys.leader.encode(), keys.leases.encode())


class Leadership:
    """One term, from its election on.

    Attributes:
        term: the fencing token.
        earlier_lease_seconds: the maximum length of a lease that was granted before
            this term and still runs; None when there is none: this is the first term, or every
            leader has stepped down cleanly.
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
        """The guard of every write of this term."""
        return Fence(self._keys.leader, self.term)

    def is_valid(self) -> bool:
        """Returns whether, by this process's clock, no other root coord can have been elected."""
        return self._clock() < self._valid_until

    def require(self) -> None:
        """Raises LeadershipLostError unless the leadership is valid."""
        if not self.is_valid():
            raise LeadershipLostError

    async def hold(self) -> None:
        """Keeps the leadership alive until it is lost.

        Reads the leader key too: an operator may have deleted it by hand, and the changes of
        the next leader would not wait for the leases that this one continues to grant.

        Raises:
            LeadershipLostError: the only way in which it ends.
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
        """Lets another root coord be elected at once.

        `in_good_order` says that no session holds a lease any more; the successor then
        need not wait. Errors are only logged: the lease ends by itself.
        """
        self._valid_until = float("-inf")
        changes: list[Operation] = [Delete(self._keys.leader)]
        if in_good_order:
            changes.append(Delete(self._keys.leases))
        with _errors_logged():
            await self._client.txn([self.fence.condition], changes, timeout_seconds=_RESIGN_SECONDS)
        # This deletes the leader's key too, even if etcd refuses the deletion for lack of space.
        with _errors_logged():
            await self._client.lease_revoke(self._lease_id, timeout_seconds=_RESIGN_SECONDS)


@contextmanager
def _errors_logged() -> Iterator[None]:
    try:
        yield
    except VecguardError as error:
        log.warning("resignation_failed", reason=error.reason)


class Observer(Protocol):
    """Receives the progress of the election while this root coord is not the active one."""

    def leader_seen(self, address: str) -> None:
        """Receives the address of the active root coord; "" when there is none."""

    def election_failed(self, message: str) -> None:
        """Receives why etcd did not answer; the election continues."""


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
        """Prepares an election in which this root coord stands as `address`.

        Standbys name the winner's address to their callers. Once elected, this root coord grants
        sessions leases of `lease_ttl_seconds`.
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
        """Returns when this root coord is the active one. Waits without a limit."""
        backoff = Backoff(_DELAYS, random)
        while True:
            try:
                leadership = await self._attempt()
                self._failure.ended()
                if leadership is not None:
                    return leadership
                await self._wait_for_vacancy()
            except VecguardError as error:
                self._failure.failed(error.message, reason=error.reason, error=error.message)
                self._observer.election_failed(error.message)
                await asyncio.sleep(backoff.failed())
            else:
                backoff.succeeded()

    async def _attempt(self) -> Leadership | None:
        """Makes one attempt. Returns None when another root coord is the leader."""
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
            # If the transaction was applied, this ends the term before it has begun.
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
        """Returns the longest lease that may still run, in seconds; None when there is none.

        The setting may have been longer when the lease was granted. Older versions recorded no
        length: then our own setting counts.
        """
        if not leases.kvs:
            return None
        recorded = leases.kvs[0].value
        return int(recorded) / 1000 if recorded.isdigit() else self._lease_ttl_seconds

    async def _wait_for_vacancy(self) -> None:
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
