"""A gRPC server (grpcio) whose methods take and return bytes, for any service name.

The last part of the path chooses the method; see `_METHODS`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio

UNLIMITED = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 256 * 1024),
    ("grpc.absolute_max_metadata_size", 256 * 1024),
)
STATUS_DETAILS = b"\x08\x05\x12\x04gone\x00\xff"
_PIECE = bytes(range(256)) * 4096


def pattern(size: int) -> bytes:
    """Returns this many bytes of a pattern, so that lost or exchanged parts show."""
    return (_PIECE * (size // len(_PIECE) + 1))[:size]


@dataclass(eq=False)
class SeenCall:
    """One call as the backend saw it.

    Attributes:
        time_remaining: seconds until the deadline at the start; None without one.
        ended: how it ended here: "done", "cancelled", or None while it runs.
    """

    path: str
    metadata: list[tuple[str, str | bytes]]
    time_remaining: float | None
    received: list[bytes] = field(default_factory=list)
    ended: str | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def values(self, name: str) -> list[str | bytes]:
        return [value for key, value in self.metadata if key == name]


class EchoBackend:
    """Serves the methods and records the calls.

    Attributes:
        calls: every call that has arrived, oldest first.
        gate: methods named in the table wait for it.
    """

    def __init__(self) -> None:
        self.calls: list[SeenCall] = []
        self.gate = asyncio.Event()
        self.port = 0
        self.server: grpc.aio.Server | None = None
        self._arrival = asyncio.Condition()

    async def start(self, port: int = 0, *, options: Sequence[tuple[str, object]] = ()) -> None:
        self.server = grpc.aio.server(options=(*UNLIMITED, ("grpc.so_reuseport", 0), *options))
        self.server.add_generic_rpc_handlers((_Handler(self),))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        await self.server.start()

    async def stop(self, grace: float | None = None) -> None:
        server, self.server = self.server, None
        if server is not None:
            await server.stop(grace)

    async def call_number(self, number: int, timeout_seconds: float = 10.0) -> SeenCall:
        """Waits for the call with this number (from 0), and returns it."""
        async with asyncio.timeout(timeout_seconds), self._arrival:
            await self._arrival.wait_for(lambda: len(self.calls) > number)
        return self.calls[number]

    async def arrived(self, path: str, context: grpc.aio.ServicerContext) -> SeenCall:
        call = SeenCall(
            path=path,
            metadata=[(key, value) for key, value in context.invocation_metadata() or ()],
            time_remaining=context.time_remaining(),
        )
        async with self._arrival:
            self.calls.append(call)
            self._arrival.notify_all()
        return call


@contextmanager
def _noted(call: SeenCall) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        call.ended = "cancelled"
        raise
    else:
        call.ended = "done"
    finally:
        call.over.set()


class _Methods:
    """Handles one call; each method has the name of the last part of the path."""

    def __init__(self, backend: EchoBackend, path: str) -> None:
        self._backend = backend
        self._path = path

    async def Unary(self, request, context):  # noqa: N802 - as on the wire
        """Returns the request, with metadata before and after it."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            call.received.append(request)
            await context.send_initial_metadata((("early", "1"), ("early-bin", b"\x00\xff")))
            context.set_trailing_metadata((("late", "1"), ("late", "2"), ("late-bin", b"\xfe\x00")))
            return request

    async def Compressed(self, request, context):  # noqa: N802
        """Returns the request, compressed."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            context.set_compression(grpc.Compression.Gzip)
            return request

    async def Count(self, request, context):  # noqa: N802
        """Returns the length of the request as text."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            return str(len(request)).encode()

    async def Large(self, request, context):  # noqa: N802
        """Returns as many bytes as the request says."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            return pattern(int(request))

    async def Wordy(self, request, context):  # noqa: N802
        """Returns 40,000 bytes of headers, then an empty message."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            await context.send_initial_metadata((("words", "x" * 40_000),))
            return b""

    async def Fail(self, request, context):  # noqa: N802
        """Fails with the code that the request names, and everything that an error can have."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            code = next(code for code in grpc.StatusCode if code.name == request.decode())
            await context.abort(
                code,
                "so geht es nicht: 100 % ü",
                (("grpc-status-details-bin", STATUS_DETAILS), ("why", "because")),
            )

    async def Silent(self, request, context):  # noqa: N802
        """Never answers."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            await asyncio.Event().wait()

    async def Gated(self, request, context):  # noqa: N802
        """Returns the request when the gate is open."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            await self._backend.gate.wait()
            return request

    async def ServerStream(self, request, context):  # noqa: N802
        """Returns as many messages as the request says, then the trailers."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            for number in range(int(request)):
                yield str(number).encode()
            context.set_trailing_metadata((("late", "1"),))

    async def FailAfter(self, request, context):  # noqa: N802
        """Returns as many messages as the request says, then fails."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            for number in range(int(request)):
                yield str(number).encode()
            await context.abort(grpc.StatusCode.ABORTED, "enough")

    async def Endless(self, request, context):  # noqa: N802
        """Sends messages of a mebibyte without end; `received` counts the accepted messages."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            message = pattern(2**20)
            while True:
                yield message
                call.received.append(b"")

    async def Open(self, request, context):  # noqa: N802
        """Sends one message, then stays open."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            yield request
            await asyncio.Event().wait()

    async def ClientStream(self, requests, context):  # noqa: N802
        """Returns all messages, joined by commas."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            async for request in requests:
                call.received.append(request)
            return b",".join(call.received)

    async def Early(self, requests, context):  # noqa: N802
        """Answers after the first message, and ignores the others."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            async for request in requests:
                call.received.append(request)
                break
            return b"early"

    async def Deaf(self, requests, context):  # noqa: N802
        """Reads nothing until the gate is open, then counts the bytes."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            await self._backend.gate.wait()
            total = 0
            async for request in requests:
                total += len(request)
            return str(total).encode()

    async def Bidi(self, requests, context):  # noqa: N802
        """Returns each message as it arrives."""
        call = await self._backend.arrived(self._path, context)
        with _noted(call):
            await context.send_initial_metadata((("early", "1"),))
            async for request in requests:
                call.received.append(request)
                yield request
            context.set_trailing_metadata((("late", str(len(call.received))),))


_METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler,
    "Compressed": grpc.unary_unary_rpc_method_handler,
    "Count": grpc.unary_unary_rpc_method_handler,
    "Large": grpc.unary_unary_rpc_method_handler,
    "Wordy": grpc.unary_unary_rpc_method_handler,
    "Fail": grpc.unary_unary_rpc_method_handler,
    "Silent": grpc.unary_unary_rpc_method_handler,
    "Gated": grpc.unary_unary_rpc_method_handler,
    "ServerStream": grpc.unary_stream_rpc_method_handler,
    "FailAfter": grpc.unary_stream_rpc_method_handler,
    "Endless": grpc.unary_stream_rpc_method_handler,
    "Open": grpc.unary_stream_rpc_method_handler,
    "ClientStream": grpc.stream_unary_rpc_method_handler,
    "Early": grpc.stream_unary_rpc_method_handler,
    "Deaf": grpc.stream_unary_rpc_method_handler,
    "Bidi": grpc.stream_stream_rpc_method_handler,
}


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, backend: EchoBackend) -> None:
        self._backend = backend

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.rpartition("/")[2]
        make = _METHODS.get(name)
        if make is None:
            return None
        return make(getattr(_Methods(self._backend, details.method), name))


@asynccontextmanager
async def echo_backend(
    port: int = 0, *, options: Sequence[tuple[str, object]] = ()
) -> AsyncIterator[EchoBackend]:
    backend = EchoBackend()
    await backend.start(port, options=options)
    try:
        yield backend
    finally:
        await backend.stop()
