"""Calls methods of the backend over a channel of this process's own."""

from collections.abc import Mapping
from typing import Final

from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError

from vecguard.concurrency.own_task import in_own_task
from vecguard.errors import DeadlineError, InvalidParameterError, UnavailableError
from vecguard.grpc.channel import Channel
from vecguard.grpc.failure import CallFailure, failures_as
from vecguard.grpc.raw_message import RawMessage
from vecguard.proxy.relay.errors import UpstreamProtocolError

_DATABASE: Final = "dbname"
_AUTHORIZATION: Final = "authorization"


class BackendClient:
    """Sends encoded requests and returns encoded replies.

    Attributes:
        name: for messages, such as `backend 127.0.0.1:19540`.
    """

    def __init__(self, channel: Channel, name: str, *, forwards_authorization: bool) -> None:
        """Takes the channel, which it owns, and whether the backend gets `authorization`."""
        self._channel = channel
        self.name = name
        self._forwards_authorization = forwards_authorization

    def metadata(self, database: str, authorization: str | None) -> dict[str, str]:
        """Returns what the relay, too, forwards of these headers. An empty database is left out.

        Raises InvalidParameterError if `database` cannot be a header.
        """
        headers = {}
        if database:
            if not (database.isascii() and database.isprintable()):
                raise InvalidParameterError(f"invalid database name {database!r}")
            headers[_DATABASE] = database
        if self._forwards_authorization and authorization:
            headers[_AUTHORIZATION] = authorization
        return headers

    async def ask(
        self, path: str, request: bytes, metadata: Mapping[str, str], timeout_seconds: float
    ) -> bytes:
        """Returns the reply to a call that only reads.

        It is made again, once, if the connection is lost: a backend may close it at any time.

        Raises:
            GRPCError: the backend answered with an error, which is raised as it is.
            UnavailableError: the backend cannot be reached, or hung up.
            DeadlineError: it did not answer in time.
        """
        try:
            return await self.ask_once(path, request, metadata, timeout_seconds)
        except UnavailableError:
            return await self.ask_once(path, request, metadata, timeout_seconds)

    async def ask_once(
        self, path: str, request: bytes, metadata: Mapping[str, str], timeout_seconds: float
    ) -> bytes:
        """Returns the reply to a call that may change something. Raises what `ask` does.

        After UnavailableError and DeadlineError the backend may have made the change.
        """
        with failures_as(self._translated):
            return await in_own_task(
                self._ask(path, request, metadata, timeout_seconds), timeout_seconds
            )

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    async def _ask(
        self, path: str, request: bytes, metadata: Mapping[str, str], timeout_seconds: float
    ) -> bytes:
        async with self._channel.request(
            path,
            Cardinality.UNARY_UNARY,
            RawMessage,
            RawMessage,
            timeout=timeout_seconds,
            metadata=dict(metadata),
        ) as stream:
            await stream.send_message(RawMessage(request), end=True)
            reply = await stream.recv_message()
        if reply is None:
            raise UpstreamProtocolError(f"{self.name} sent an answer without a message")
        return reply

    def _translated(self, failure: CallFailure) -> Exception:
        if failure.status is not None:
            return GRPCError(failure.status, failure.text)
        if failure.is_timeout:
            return DeadlineError(f"{self.name} did not answer in time")
        return UnavailableError(f"{self.name} cannot be reached: {failure.text}")
