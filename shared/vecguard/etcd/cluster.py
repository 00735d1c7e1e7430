"""Uses several endpoints as one: failover, deadlines, token and stale read guard."""

import asyncio
import enum
import ssl
from collections.abc import Callable, Sequence
from random import random

from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.errors import VecguardError
from vecguard.etcd.authentication import Credentials, TokenSource, metadata_of
from vecguard.etcd.channel import Metadata, Progress, ReplyT, RequestT, Rpc, RpcStream, attempt
from vecguard.etcd.endpoint import Endpoint
from vecguard.etcd.errors import EtcdOutcomeUnknownError, EtcdUnavailableError
from vecguard.etcd.failure import AttemptError, Verdict, final_error, judge
from vecguard.etcd.revisions import Header, RevisionGuard
from vecguard.etcd.rounds import Rounds
from vecguard.secret import Secret

# While other endpoints are left to try, a read gives each of them this part of the
# remaining time, but not less than a second.
_ATTEMPT_SHARE = 1 / 3
_SHORTEST_ATTEMPT_SECONDS = 1.0


#: Called after each request with its method, "ok" or the error's reason, and its seconds.
Observe = Callable[[str, str, float], None]


class Access(enum.Enum):
    """Says whether a request may be repeated after a lost answer, and how fresh it must be."""

    READ = enum.auto()
    """Linearizable: may be repeated; must not return older state than was seen before."""

    REPEATABLE = enum.auto()
    """Repeating it has no further effect; its answer may be old."""

    WRITE = enum.auto()
    """Repeated only if it was certainly not processed."""


class Cluster:
    """Sends requests to one endpoint after another until one answers.

    All tasks use the endpoint that worked last. Everything runs on one event loop.
    """

    def __init__(
        self,
        endpoints: Sequence[Address],
        *,
        tls: ssl.SSLContext | None,
        credentials: Credentials | None,
        request_timeout_seconds: float,
        observe: Observe,
    ) -> None:
        self._guard = RevisionGuard()
        self._endpoints = tuple(
            Endpoint(address, tls=tls, vet=self.observe) for address in endpoints
        )
        self._current = 0
        self._closed = False
        self._tokens = TokenSource(credentials)
        self._request_timeout_seconds = request_timeout_seconds
        self._observe = observe

    @property
    def current(self) -> Endpoint:
        """The endpoint to try first."""
        return self._endpoints[self._current]

    @property
    def request_timeout_seconds(self) -> float:
        return self._request_timeout_seconds

    @property
    def newest_revision(self) -> int:
        """The newest revision that was seen in any answer."""
        return self._guard.newest

    def rounds(self) -> Rounds:
        """Returns the rounds of a series of attempts."""
        return Rounds(len(self._endpoints), random)

    def leave(self, endpoint: Endpoint) -> None:
        """Switches to the next endpoint, unless another task has left `endpoint` already."""
        if self.current is endpoint:
            self._current = (self._current + 1) % len(self._endpoints)

    def endpoint_at(self, address: Address) -> Endpoint:
        """Returns the endpoint at an address. Raises ValueError if the cluster has none there."""
        for endpoint in self._endpoints:
            if endpoint.address == address:
                return endpoint
        raise ValueError(f"{address} is not one of the configured etcd endpoints")

    def observe(self, header: Header, address: Address) -> None:
        """Passes an answer's header to the stale read guard.

        Raises:
            ClusterMismatchError: it comes from another cluster.
        """
        self._guard.observe(header, address)

    async def close(self) -> None:
        """Ends all connections; running calls fail."""
        self._closed = True
        for endpoint in self._endpoints:
            await endpoint.close()

    async def call(
        self,
        rpc: Rpc[RequestT, ReplyT],
        request: RequestT,
        *,
        header: Callable[[ReplyT], Header],
        access: Access,
        timeout_seconds: float | None = None,
    ) -> ReplyT:
        """Tries endpoints until one answers or the deadline has passed.

        Args:
            rpc: the method to call.
            request: the message to send.
            header: returns etcd's header of the reply.
            access: what may be repeated.
            timeout_seconds: for all attempts together; None takes the client's setting.

        Raises:
            EtcdUnavailableError: no endpoint gave a valid answer; nothing was changed.
            EtcdOutcomeUnknownError: a write was sent and its answer is lost.
            EtcdError: any other is etcd's definite answer; nothing was changed.
            ClusterMismatchError: an endpoint belongs to another cluster.
        """
        began = boot_clock()
        outcome = "cancelled"
        try:
            reply = await self._ask(
                rpc,
                request,
                header=header,
                access=access,
                timeout_seconds=self._request_timeout_seconds
                if timeout_seconds is None
                else timeout_seconds,
            )
            outcome = "ok"
        except VecguardError as error:
            outcome = error.reason
            raise
        finally:
            self._observe(rpc.path.rpartition("/")[2], outcome, boot_clock() - began)
        return reply

    async def _ask(
        self,
        rpc: Rpc[RequestT, ReplyT],
        request: RequestT,
        *,
        header: Callable[[ReplyT], Header],
        access: Access,
        timeout_seconds: float,
    ) -> ReplyT:
        deadline = boot_clock() + timeout_seconds
        rounds = self.rounds()
        failures: dict[Address, str] = {}
        renewed = False
        while True:
            endpoint = self.current
            if boot_clock() >= deadline:
                raise _unavailable(rpc.path, failures, timeout_seconds)
            token: Secret[str] | None = None
            try:
                token = await self.token(
                    endpoint, self._attempt_seconds(Access.REPEATABLE, deadline)
                )
                return await self._attempt(
                    endpoint,
                    rpc,
                    request,
                    header=header,
                    access=access,
                    metadata=metadata_of(token),
                    deadline=deadline,
                )
            except AttemptError as error:
                failures[endpoint.address] = error.text
                verdict = judge(error)
                if verdict is Verdict.TOKEN_REFUSED and self.can_renew and not renewed:
                    renewed = True
                    self.refuse(token)
                    continue
                if verdict in {Verdict.FINAL, Verdict.TOKEN_REFUSED}:
                    raise final_error(error, str(endpoint.address)) from error
                self.leave(endpoint)
                if verdict is Verdict.UNKNOWN and access is Access.WRITE:
                    raise EtcdOutcomeUnknownError(
                        f"etcd write: outcome unknown, safe to repeat. It was sent to "
                        f"{endpoint.address} and no answer came: {error.text}"
                    ) from error
                if self._closed:
                    raise EtcdUnavailableError("the client of etcd is closed") from error
                delay = rounds.failed()
                if boot_clock() + delay >= deadline:
                    raise _unavailable(rpc.path, failures, timeout_seconds) from error
            await asyncio.sleep(delay)

    async def call_one(
        self,
        endpoint: Endpoint,
        rpc: Rpc[RequestT, ReplyT],
        request: RequestT,
        timeout_seconds: float,
    ) -> ReplyT:
        """Calls one endpoint once, even a member that is cut off from the others.

        Raises:
            EtcdUnavailableError: it did not answer.
            EtcdError: it refuses the request.
        """
        try:
            token = await self.token(endpoint, timeout_seconds)
            return await endpoint.call(
                rpc,
                request,
                metadata=metadata_of(token, need_leader=False),
                timeout_seconds=timeout_seconds,
            )
        except AttemptError as error:
            if judge(error) in {Verdict.FINAL, Verdict.TOKEN_REFUSED}:
                raise final_error(error, str(endpoint.address)) from error
            raise _unavailable(rpc.path, {endpoint.address: error.text}, timeout_seconds) from error

    async def open(
        self, endpoint: Endpoint, rpc: Rpc[RequestT, ReplyT], token: Secret[str] | None
    ) -> RpcStream[RequestT, ReplyT]:
        """Prepares a stream at one endpoint.

        Raises:
            AttemptError: the endpoint cannot be reached.
        """
        return await endpoint.open(
            rpc, metadata=metadata_of(token), timeout_seconds=self._request_timeout_seconds
        )

    @property
    def can_renew(self) -> bool:
        """Returns whether there are credentials to get another token with."""
        return self._tokens.can_renew

    def refuse(self, token: Secret[str] | None) -> None:
        """Makes the next request get a new token in place of this one, which etcd refused."""
        self._tokens.refuse(token)

    async def token(self, endpoint: Endpoint, timeout_seconds: float) -> Secret[str] | None:
        """Returns the token that a request to this endpoint must carry.

        Raises:
            AttemptError: there is no token; no other request was sent.
        """
        with attempt(Progress()):
            async with asyncio.timeout(timeout_seconds):
                try:
                    return await self._tokens.token(endpoint, timeout_seconds)
                except AttemptError as error:
                    raise AttemptError(error.text, status=error.status, sent=False) from error

    async def _attempt(
        self,
        endpoint: Endpoint,
        rpc: Rpc[RequestT, ReplyT],
        request: RequestT,
        *,
        header: Callable[[ReplyT], Header],
        access: Access,
        metadata: Metadata,
        deadline: float,
    ) -> ReplyT:
        floor = self._guard.newest
        timeout_seconds = self._attempt_seconds(access, deadline)
        reply = await endpoint.call(
            rpc, request, metadata=metadata, timeout_seconds=timeout_seconds
        )
        seen = header(reply)
        self.observe(seen, endpoint.address)
        if access is Access.READ and seen.revision < floor:
            raise AttemptError(
                f"stale read: it answered at revision {seen.revision} after revision {floor} had "
                "been seen (a member that lags, or a store that was restored from a backup)",
                sent=True,
            )
        return reply

    def _attempt_seconds(self, access: Access, deadline: float) -> float:
        remaining = max(0.0, deadline - boot_clock())
        if access is Access.WRITE or len(self._endpoints) == 1:
            return remaining
        return min(remaining, max(_SHORTEST_ATTEMPT_SECONDS, remaining * _ATTEMPT_SHARE))


def _unavailable(
    path: str, failures: dict[Address, str], timeout_seconds: float
) -> EtcdUnavailableError:
    method = path.rpartition("/")[2]
    tried = "; ".join(f"{endpoint}: {text}" for endpoint, text in failures.items())
    return EtcdUnavailableError(
        f"etcd did not answer {method} within {timeout_seconds:g} s, tried at "
        f"{tried or 'no endpoint: the time was over before the first attempt'}"
    )
