"""Encodes and decodes messages by betterproto, except on hot paths.

betterproto takes about 100 µs for a message of two numbers, most of it to make its objects.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from grpclib.encoding.proto import ProtoCodec

from vecguard.errors import MalformedMessageError
from vecguard.grpc.raw_message import RawMessage
from vecguard.grpc.wire_check import check

#: Ten times the fields of any request about accounts or health; betterproto takes 20 µs for each
#: field that is a message.
MAX_FIELDS: Final = 250


class RequestCodec(ProtoCodec):
    """Decodes a server's requests; a request that betterproto cannot read is the caller's error.

    betterproto raises any error of its parts, and reads some malformed messages: see
    `vecguard.grpc.wire_check`.
    """

    def __init__(self, *, max_fields: int | None = MAX_FIELDS) -> None:
        """Takes the limit of fields in a message and its parts; None: only the size limits them."""
        self._max_fields = max_fields

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Returns the message; a `RawMessage` is for its receiver to check.

        Raises:
            MalformedMessageError: it cannot be read.
            TooManyFieldsError: it has more fields than allowed.
        """
        if message_type is RawMessage:
            return RawMessage(data)
        check(data, message_type, self._max_fields)
        try:
            return self._read(data, message_type)
        except Exception:  # noqa: BLE001 - see above
            # Without the cause, which may quote the request.
            raise MalformedMessageError("the request is malformed") from None

    def _read(self, data: bytes, message_type: Any) -> Any:
        return super().decode(data, message_type)


class HotCodec(RequestCodec):
    """Sends bytes unchanged, and decodes chosen message types by their own functions."""

    def __init__(
        self,
        decoders: Mapping[type, Callable[[bytes], Any]],
        *,
        max_fields: int | None = MAX_FIELDS,
    ) -> None:
        super().__init__(max_fields=max_fields)
        self._decoders = decoders

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Returns the encoded message; bytes count as an encoded message."""
        return message if isinstance(message, bytes) else super().encode(message, message_type)

    def _read(self, data: bytes, message_type: Any) -> Any:
        decoder = self._decoders.get(message_type)
        return decoder(data) if decoder else super()._read(data, message_type)
