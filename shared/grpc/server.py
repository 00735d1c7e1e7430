"""A gRPC server that drains, and in which an expected error becomes its gRPC status."""

import asyncio
import contextvars
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Handler, Server, Stream

from shared.errors import VecguardError
from shared.grpc.transport import Protocol
from shared.observability.log import get_logger

if TYPE_CHECKING:
    from grpclib._typing import IServable, IServerMethodFunc

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made the call that is being handled."""

    peer: str
    metadata: Mapping[str, Any]


_caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the RPC that this task handles. Raises LookupError elsewhere."""
    return _caller.get()


class GrpcServer(Server):
    """grpclib's server, drained on stop and with our errors translated in one place."""

    def __init__(
        self, handlers: Collection["IServable"], *, configuration: Configuration | None = None
    ) -> None:
        super().__init__(handlers, config=configuration)
        self._protocols: set[Protocol] = set()
        listen(self, RecvRequest, _prepare)

    def _protocol_factory(self) -> Protocol:
        self.__gc_step__()
        handler = Handler(self._mapping, self._codec, self._status_details_codec, self.__dispatch__)
        self._handlers.add(handler)
        protocol = _ServerProtocol(handler, self._config, self._h2_config)
        protocol.connections = self._protocols
        return protocol

    def accept(self) -> Protocol:
        """The protocol of one connection that was established without the listener."""
        return self._protocol_factory()

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting, lets calls in flight finish, then closes.

        Whatever is still running after `timeout_seconds` is cancelled.
        """
        if self._server is not None:
            self._server.close()
        for protocol in self._protocols:
            protocol.go_away()
        running = [task for handler in self._handlers for task in handler._tasks.values()]  # noqa: SLF001 - grpclib has no door for draining
        if running:
            await asyncio.wait(running, timeout=timeout_seconds)
        for protocol in tuple(self._protocols):
            protocol.processor.close("Server is shutting down")
        await asyncio.gather(*(handler.wait_closed() for handler in self._handlers))


class _ServerProtocol(Protocol):
    connections: set[Protocol]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.connections.discard(self)
        super().connection_lost(exc)


async def _prepare(event: RecvRequest) -> None:
    address = event.peer.addr()
    caller = Caller(
        peer=f"{address[0]}:{address[1]}" if address else "local", metadata=event.metadata
    )
    event.method_func = _translated(event.method_func, event.method_name, caller)


def _translated(function: "IServerMethodFunc", method: str, caller: Caller) -> "IServerMethodFunc":
    async def call(stream: Stream[Any, Any]) -> None:
        _caller.set(caller)
        try:
            await function(stream)
        except VecguardError as error:
            raise GRPCError(error.status, error.message) from error
        except (GRPCError, StreamTerminatedError):
            raise
        except Exception as error:
            log.exception("rpc_failed", method=method)
            raise GRPCError(Status.INTERNAL, "internal error; the server's log has it") from error

    return call
