"""Sends requests to one endpoint of a cluster."""

import asyncio
import ssl
from collections.abc import Callable

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from vecguard.addresses import Address
from vecguard.concurrency.own_task import in_own_task
from vecguard.concurrency.shared_attempt import SharedAttempt
from vecguard.etcd.channel import (
    EtcdChannel,
    Metadata,
    Progress,
    ReplyT,
    RequestT,
    Rpc,
    RpcStream,
    attempt,
    unary,
)
from vecguard.etcd.failure import AttemptError
from vecguard.etcd.revisions import Header
from vecguard.generated.etcdserverpb import StatusRequest, StatusResponse
from vecguard.grpc.failure import CallFailure, failures_as

# Name, TCP, TLS and the first answer. A stopped process still accepts TCP connections.
CONNECT_SECONDS = 2.0
_REFUSED = "etcd may refuse the client's certificate"

STATUS = Rpc("/etcdserverpb.Maintenance/Status", StatusRequest, StatusResponse)

# Answers to Status of a living server that refuses to report its state to this user.
_RETICENT = frozenset(
    {
        Status.INVALID_ARGUMENT,
        Status.PERMISSION_DENIED,
        Status.UNAUTHENTICATED,
        Status.UNIMPLEMENTED,
    }
)


class Endpoint:
    """Connects to one endpoint when needed, and again when the connection is lost.

    A new connection must first answer a Status request, so that a write never goes to a
    process that does not answer, to a learner or to another cluster.

    Args:
        address: host and port.
        tls: None for a plain connection.
        vet: checks the header of the first answer; raises an error to refuse the endpoint.
    """

    def __init__(
        self,
        address: Address,
        *,
        tls: ssl.SSLContext | None,
        vet: Callable[[Header, Address], None],
    ) -> None:
        self.address = address
        self._tls = tls
        self._vet = vet
        self._channel: EtcdChannel | None = None
        self._connecting: SharedAttempt[EtcdChannel] = SharedAttempt()
        self._closed = False

    async def call(
        self,
        rpc: Rpc[RequestT, ReplyT],
        request: RequestT,
        *,
        metadata: Metadata,
        timeout_seconds: float,
    ) -> ReplyT:
        """Makes one attempt.

        Raises:
            AttemptError: it failed.
            ClusterMismatchError: the endpoint belongs to another cluster.
        """
        progress = Progress()
        with attempt(progress):
            return await in_own_task(
                self._connect_and_call(rpc, request, metadata, progress), timeout_seconds
            )

    async def open(
        self, rpc: Rpc[RequestT, ReplyT], *, metadata: Metadata, timeout_seconds: float
    ) -> RpcStream[RequestT, ReplyT]:
        """Connects if necessary; the stream itself starts when it is entered.

        Raises:
            AttemptError: there is no connection.
            ClusterMismatchError: the endpoint belongs to another cluster.
        """
        with attempt(Progress()):
            channel = await in_own_task(self._connected(), timeout_seconds)
        return RpcStream(channel, rpc, metadata)

    async def close(self) -> None:
        """Ends the connection; calls on it fail."""
        self._closed = True
        if self._channel is not None:
            await self._channel.end()

    async def _connect_and_call(
        self,
        rpc: Rpc[RequestT, ReplyT],
        request: RequestT,
        metadata: Metadata,
        progress: Progress,
    ) -> ReplyT:
        channel = await self._connected()
        return await unary(channel, rpc, request, metadata, progress)

    async def _connected(self) -> EtcdChannel:
        return await self._connecting.get(self._usable, self._connect)

    def _usable(self) -> EtcdChannel | None:
        if self._closed:
            raise AttemptError("the client is closed", sent=False)
        return self._channel if self._channel is not None and self._channel.alive else None

    async def _connect(self) -> EtcdChannel:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        channel = EtcdChannel(self.address, tls=self._tls)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await channel.connect()
                await self._first_answer(channel)
            self._usable()  # the client may have been closed meanwhile
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        return channel

    def _unanswered(self, failure: CallFailure) -> AttemptError:
        # With TLS 1.3, a server refuses a client's certificate after the handshake, and a reset of
        # the connection often overtakes its alert.
        is_lost = failure.status is None and not failure.is_timeout
        hint = f" ({_REFUSED})" if is_lost and self._tls is not None else ""
        return AttemptError(failure.text + hint, status=failure.status, sent=False)

    async def _first_answer(self, channel: EtcdChannel) -> None:
        # The caller's request has not been sent yet, so a failure here leaves it unsent.
        with failures_as(self._unanswered):
            try:
                status = await unary(channel, STATUS, StatusRequest(), {}, Progress())
            except AttemptError as error:
                raise AttemptError(error.text, sent=False) from error
            except GRPCError as error:
                if error.status in _RETICENT:
                    return
                raise
        if status.is_learner:
            raise AttemptError("the member is a learner, which does not serve", sent=False)
        self._vet(status.header, self.address)
