"""The interface of the etcd client: reads, transactions, leases and watches."""

import ssl
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Self

from vecguard.addresses import Address
from vecguard.errors import ConfigurationError
from vecguard.etcd import kv, lease
from vecguard.etcd.authentication import Credentials
from vecguard.etcd.cluster import Cluster, Observe
from vecguard.etcd.endpoint import STATUS
from vecguard.etcd.model import (
    Compare,
    LeaseGrant,
    MemberStatus,
    Operation,
    RangeResult,
    TxnResult,
    WatchBatch,
    key_range,
)
from vecguard.etcd.watch import Watcher
from vecguard.etcd.wire import range_request
from vecguard.generated import etcdserverpb as pb
from vecguard.secret import Secret


class EtcdClient:
    """Calls one etcd cluster, for any number of tasks on one event loop.

    It connects when it is first used. Each request has one deadline, within which it tries
    endpoint after endpoint; all methods but `watch` and `close` raise:

    - EtcdUnavailableError: no endpoint gave a valid answer. Nothing was changed.
    - EtcdOutcomeUnknownError: a write was sent and its answer is lost. Safe to repeat if the
      write is guarded by comparisons.
    - EtcdNoSpaceError, EtcdCorruptError: etcd has raised an alarm and refuses. Nothing was changed.
    - EtcdAuthError: wrong user or password, or no permission (EtcdPermissionError).
    - EtcdRequestError: etcd refuses the request itself.
    - ClusterMismatchError: an endpoint belongs to another cluster.

    Linearizable reads are never older than anything that this client has seen before.

    Args:
        endpoints: `host:port` of each member; names are resolved at each connection.
        ssl: None for plain connections. It must offer HTTP/2 by ALPN.
        username: a user of etcd, together with `password`. If etcd runs without
            authentication they are not used, and a warning says so.
        password: the user's password.
        request_timeout_seconds: for each request, all attempts together.
        observe: called after each request with its method, "ok" or the error's reason, and
            its duration in seconds.

    Raises:
        ConfigurationError: an endpoint is malformed, or user and password do not come
            together.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        ssl: ssl.SSLContext | None = None,
        username: str | None = None,
        password: Secret[str] | None = None,
        request_timeout_seconds: float = 10.0,
        observe: Observe = lambda _method, _outcome, _seconds: None,
    ) -> None:
        self._cluster = Cluster(
            _addresses(endpoints),
            tls=ssl,
            credentials=_credentials(username, password),
            request_timeout_seconds=request_timeout_seconds,
            observe=observe,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all connections. Running requests and watches fail."""
        await self._cluster.close()

    async def range(
        self,
        key: bytes,
        *,
        prefix: bool = False,
        range_end: bytes | None = None,
        limit: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        revision: int = 0,
        timeout_seconds: float | None = None,
    ) -> RangeResult:
        """Reads one key, all keys with a prefix, or all from `key` up to `range_end`.

        Args:
            key: the key, the prefix or the start of the range.
            prefix: read all keys that begin with `key`.
            range_end: exclusive.
            limit: at most so many keys; 0 for all.
            keys_only: leave the values out.
            count_only: leave the keys out, too.
            revision: the revision to read at; 0 reads the newest.
            timeout_seconds: overrides the client's timeout.

        Raises:
            CompactedError: the wanted revision is compacted.
        """
        first, end = key_range(key, prefix=prefix, range_end=range_end)
        request = range_request(
            first,
            end,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
        )
        return await kv.read(self._cluster, request, timeout_seconds)

    async def txn(
        self,
        compares: Sequence[Compare],
        success: Sequence[Operation],
        failure: Sequence[Operation] = (),
        *,
        timeout_seconds: float | None = None,
    ) -> TxnResult:
        """Applies `success` if every comparison holds, otherwise `failure`, at one revision.

        `TxnResult.responses` is empty if etcd applied the transaction while it ran out of space.

        Raises:
            LeaseNotFoundError: a key was to be bound to a lease that does not exist.
        """
        return await kv.transact(self._cluster, compares, success, failure, timeout_seconds)

    async def lease_grant(
        self, ttl_seconds: int, *, timeout_seconds: float | None = None
    ) -> LeaseGrant:
        """Returns a new lease, which ends unless it is kept alive."""
        return await lease.grant(self._cluster, ttl_seconds, timeout_seconds)

    async def lease_keep_alive_once(
        self, lease_id: int, *, timeout_seconds: float | None = None
    ) -> int:
        """Sets a lease back to its full time.

        Count that time from before the call: etcd starts it at some moment during the call.

        Returns:
            Seconds; 0 if the lease does not exist (any more).
        """
        return await lease.keep_alive(self._cluster, lease_id, timeout_seconds)

    async def lease_revoke(self, lease_id: int, *, timeout_seconds: float | None = None) -> None:
        """Ends a lease and deletes the keys bound to it. A missing lease is no error."""
        await lease.revoke(self._cluster, lease_id, timeout_seconds)

    def watch(
        self,
        key: bytes,
        *,
        prefix: bool = False,
        start_revision: int = 0,
        prev_kv: bool = False,
    ) -> AsyncGenerator[WatchBatch, None]:
        """Yields every change of a key, or of all keys with a prefix, in order and exactly once.

        It survives broken connections and continues at another endpoint, without a time limit. To
        miss no change, read the current state and start at `RangeResult.revision + 1`; without a
        `start_revision` it begins at some moment after the first step of the iteration. Close it
        (`contextlib.aclosing`) when the iteration ends early.

        Raises:
            CompactedError: changes that were not delivered yet are compacted.
            EtcdAuthError: no permission.
            EtcdRequestError: etcd refuses the watch itself.
            ClusterMismatchError: an endpoint belongs to another cluster.
        """
        first, end = key_range(key, prefix=prefix)
        return Watcher(self._cluster, first, end, start_revision, prev_kv=prev_kv).batches()

    async def status(
        self, endpoint: str | None = None, *, timeout_seconds: float | None = None
    ) -> MemberStatus:
        """Returns how one member sees itself, without failover.

        Args:
            endpoint: an endpoint of the client; None takes the current one.
            timeout_seconds: overrides the client's timeout.

        Raises:
            ValueError: the endpoint is not one of the client's.
            EtcdPermissionError: etcd asks for the role root, as 3.5.28 to 3.5.30 do (etcd issue
                21663).
        """
        cluster = self._cluster
        member = (
            cluster.current if endpoint is None else cluster.endpoint_at(Address.parse(endpoint))
        )
        if timeout_seconds is None:
            timeout_seconds = cluster.request_timeout_seconds
        reply = await cluster.call_one(member, STATUS, pb.StatusRequest(), timeout_seconds)
        return MemberStatus(
            endpoint=str(member.address),
            version=reply.version,
            member_id=reply.header.member_id,
            leader=reply.leader,
            is_learner=reply.is_learner,
            errors=tuple(reply.errors),
        )


def _addresses(endpoints: Sequence[str]) -> tuple[Address, ...]:
    """Parses the endpoints; equal ones count once."""
    addresses = tuple(dict.fromkeys(map(Address.parse, endpoints)))
    if not addresses:
        raise ConfigurationError("no etcd endpoint is given; expected a list such as etcd-0:2379")
    return addresses


def _credentials(username: str | None, password: Secret[str] | None) -> Credentials | None:
    if username is None and password is None:
        return None
    if not username or not password:
        raise ConfigurationError("etcd: give both a user name and a password, or neither")
    return Credentials(username, password)
