"""Handles one call on one of our servers; it always ends with a gRPC status.

grpclib would log a traceback for much of what a caller can send, and a line for each call that
is cancelled or late. This module replaces the part of it that handles a request.
"""

import contextvars
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from grpclib.const import Handler as Method
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import Deadline, decode_metadata, encode_grpc_message
from grpclib.protocol import Stream as H2Stream
from grpclib.server import Stream
from grpclib.utils import DeadlineWrapper
from h2.exceptions import H2Error

from vecguard.addresses import LOCAL
from vecguard.errors import (
    MalformedMessageError,
    MessageTooLargeError,
    Status,
    UnsupportedError,
    VecguardError,
)
from vecguard.grpc.compression import UnsupportedEncodingError, plain
from vecguard.observability.faults import log_fault

#: gRFC A6: the milliseconds that clients wait before they retry.
PUSHBACK = "grpc-retry-pushback-ms"

PeerCertificate = Mapping[str, Any] | None
Headers = Sequence[tuple[str, str]]

_CONTENT_TYPE = "application/grpc"
_PREFIX_BYTES = 5
_TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]")  # gRPC over HTTP/2, "Timeout"


class MalformedRequestError(VecguardError):
    """The headers of a request break a rule of gRPC."""

    reason = "malformed_request"


class ForeignRequestError(VecguardError):
    """The request is not a gRPC request; its sender may understand only HTTP's status."""

    reason = "foreign_request"

    def __init__(self, http_status: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status


class NotAdmittedError(VecguardError):
    """The caller's certificate has none of the permitted names."""

    status = Status.PERMISSION_DENIED
    reason = "not_admitted"

    def __init__(self) -> None:
        super().__init__("the client certificate has none of the allowed names")


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of the call that is being handled."""

    peer: str
    metadata: Mapping[str, Any]


_caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def current_caller() -> Caller:
    """Returns the caller of the RPC that this task handles. Raises LookupError elsewhere."""
    return _caller.get()


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """The settings that all calls of a server share.

    Attributes:
        methods: the methods by path.
        codec: reads and writes their messages.
        events: grpclib's events, which have no listeners.
        admits: returns whether a caller with this verified certificate may call; None admits all.
        max_message_bytes: the limit of a request, compressed or not.
        accepted_encodings: the encodings of a request: a value of `grpc-accept-encoding`.
    """

    methods: dict[str, Method]
    codec: CodecBase
    events: Any
    admits: Callable[[PeerCertificate], bool] | None
    max_message_bytes: int
    accepted_encodings: str


async def serve(policy: CallPolicy, h2_stream: H2Stream, headers: Headers) -> None:
    """Handles one request. Raises only CancelledError."""
    wrapper = h2_stream.wrapper = DeadlineWrapper()
    call: _Call | None = None
    ending: _Ending | None = None
    try:
        call = _Call.of(policy, h2_stream, headers)
        timed = nullcontext() if call.deadline is None else wrapper.start(call.deadline)
        with timed, wrapper:
            await call.run()
    except VecguardError as error:
        ending = _Ending.of(error)
    except GRPCError as error:
        ending = _Ending(Status(error.status.value), error.message or "")
    except StreamTerminatedError as error:
        if not wrapper.cancelled:  # otherwise the caller is gone and reads no answer
            ending = _fault(error)
    except H2Error:
        ending = _Ending(Status.INTERNAL, "the stream is closed")  # and written to after its end
    except TimeoutError as error:
        # The wrapper's own cancellation; any other is a bug.
        is_late = wrapper.cancelled or (call is not None and call.is_late)
        ending = _PAST_DEADLINE if is_late else _fault(error)
    except Exception as error:  # noqa: BLE001 - logged and answered
        ending = _fault(error)
    if ending is not None:
        with suppress(H2Error):
            await ending.send(h2_stream, is_begun=call is not None and call.is_begun)


class _Call(Stream[Any, Any]):
    """Extends grpclib's stream to read messages by gRPC's rules."""

    def __init__(
        self,
        policy: CallPolicy,
        h2_stream: H2Stream,
        headers: Mapping[str, str],
        deadline: Deadline | None,
        metadata: Mapping[str, Any],
    ) -> None:
        method = policy.methods[headers[":path"]]
        super().__init__(
            h2_stream,
            headers[":path"],
            method.cardinality,
            method.request_type,
            method.reply_type,
            codec=policy.codec,
            status_details_codec=None,
            dispatch=policy.events,
            deadline=deadline,
        )
        self._function = method.func
        self._encoding = headers.get("grpc-encoding")
        self._max_message_bytes = policy.max_message_bytes
        self._accepted_encodings = policy.accepted_encodings
        address = self.peer.addr()
        self._caller = Caller(f"{address[0]}:{address[1]}" if address else LOCAL, metadata)

    @classmethod
    def of(cls, policy: CallPolicy, h2_stream: H2Stream, headers: Headers) -> "_Call":
        """Returns the call that these headers begin. Raises VecguardError when they are invalid."""
        fields = dict(headers)
        _require_grpc(fields)
        if fields[":path"] not in policy.methods:
            raise UnsupportedError("there is no such method")
        call = cls(policy, h2_stream, fields, _deadline(headers), _metadata(headers))
        if policy.admits is not None and not policy.admits(call.peer.cert()):
            raise NotAdmittedError
        return call

    @property
    def is_begun(self) -> bool:
        """Whether the headers of the answer are sent."""
        return self._send_initial_metadata_done

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and not self.deadline.time_remaining()

    async def run(self) -> None:
        """Runs the handler and ends the answer with its status."""
        _caller.set(self._caller)
        await self._function(self)
        await self.send_trailing_metadata()

    async def recv_message(self) -> Any:
        """Returns the next message; None at the end of a stream of messages.

        Raises:
            MalformedMessageError: it cannot be read, or is cut off.
            MessageTooLargeError: it is longer than allowed.
            TooManyFieldsError: it has more fields than allowed.
            UnsupportedError: it is compressed in an unknown way, or is missing in a method that
                requires one (gRPC's status codes, "request cardinality violation").
        """
        prefix = await self._received(_PREFIX_BYTES)
        if not prefix:
            if self._cardinality.client_streaming:
                return None
            raise UnsupportedError("the method takes one message, and the request has none")
        length = int.from_bytes(prefix[1:])
        if length > self._max_message_bytes:
            raise MessageTooLargeError(length, self._max_message_bytes)
        data = await self._received(length)
        if len(data) != length:
            raise _cut()
        data = plain(
            prefix[0], data, self._encoding, self._max_message_bytes, self._accepted_encodings
        )
        return self._codec.decode(data, self._recv_type)

    async def _received(self, size: int) -> bytes:
        """Returns `size` bytes; empty when the request has ended."""
        try:
            return await self._stream.recv_data(size)
        except AssertionError:  # raised by grpclib when there are fewer
            raise _cut() from None


@dataclass(frozen=True, slots=True)
class _Ending:
    """The status of a failed call, in the form in which it is sent."""

    status: Status
    message: str
    http_status: int = 200
    more: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, error: VecguardError) -> "_Ending":
        more: tuple[tuple[str, str], ...] = ()
        if error.retry_after_seconds is not None:
            more = ((PUSHBACK, str(math.ceil(error.retry_after_seconds * 1000))),)
        elif isinstance(error, UnsupportedEncodingError):
            more = (("grpc-accept-encoding", error.accepted),)
        http_status = error.http_status if isinstance(error, ForeignRequestError) else 200
        return cls(error.status, error.message, http_status, more)

    async def send(self, h2_stream: H2Stream, *, is_begun: bool) -> None:
        """Ends the stream, with headers unless they are sent already. Raises H2Error."""
        head = [(":status", str(self.http_status)), ("content-type", _CONTENT_TYPE)]
        trailers = [
            ("grpc-status", str(self.status.value)),
            ("grpc-message", encode_grpc_message(self.message)),
            *self.more,
        ]
        # grpclib's own method permits no names that begin with `grpc-`.
        await h2_stream.send_headers(trailers if is_begun else head + trailers, end_stream=True)
        if h2_stream.closable:
            h2_stream.reset_nowait()


_PAST_DEADLINE = _Ending(Status.DEADLINE_EXCEEDED, "the deadline of the call has passed")


def _fault(error: Exception) -> _Ending:
    log_fault(error, "rpc_failed")
    return _Ending(Status.INTERNAL, "internal error; the server's log has the details")


def _cut() -> MalformedMessageError:
    return MalformedMessageError("the request ends in the middle of a message")


def _require_grpc(fields: Mapping[str, str]) -> None:
    if fields.get(":method") != "POST":
        raise ForeignRequestError(405, "only POST is allowed")
    if ":path" not in fields:
        raise ForeignRequestError(400, "the request has no path")
    kind, plus, subtype = fields.get("content-type", "").partition(";")[0].partition("+")
    if kind.strip() != _CONTENT_TYPE:
        raise ForeignRequestError(415, f"the content type must be {_CONTENT_TYPE}")
    if plus and subtype.strip() != "proto":
        raise UnsupportedError("messages must be protobuf: application/grpc or +proto")


def _deadline(headers: Headers) -> Deadline | None:
    """Returns the earliest deadline of the headers. Raises MalformedRequestError."""
    for name, value in headers:
        # grpclib accepts more digits than a float can hold.
        if name == "grpc-timeout" and not _TIMEOUT.fullmatch(value):
            raise MalformedRequestError(
                "malformed grpc-timeout: write digits and one of H M S m u n"
            )
    return Deadline.from_headers(headers)


def _metadata(headers: Headers) -> Mapping[str, Any]:
    """Returns the caller's own metadata. Raises MalformedRequestError."""
    try:
        return decode_metadata(headers)
    except ValueError:
        pass  # raised outside: the library's error quotes the value
    raise MalformedRequestError("malformed binary metadata")
