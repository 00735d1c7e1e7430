"""Protobuf by betterproto, except on paths that are hot enough to do without it.

betterproto takes about 100 µs for a message of two numbers, most of it for its objects.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from grpclib.encoding.proto import ProtoCodec

from vecguard.errors import MalformedMessageError
from vecguard.grpc.wire_check import check

#: Ten times what any request about accounts or health has; betterproto takes 20 µs for each field
#: that is a message.
MAX_FIELDS: Final = 250


class RequestCodec(ProtoCodec):
    """A server's: what a caller sends and betterproto cannot read is the caller's mistake.

    betterproto raises whatever its parts raise, and reads some of what is malformed: see
    `vecguard.grpc.wire_check`.
    """

    def __init__(self, *, max_fields: int | None = MAX_FIELDS) -> None:
        """`max_fields` bounds each message with those in it; None leaves that to its size."""
        self._max_fields = max_fields

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message.

        Raises:
            MalformedMessageError: it cannot be read.
            TooManyFieldsError: it has more fields than allowed.
        """
        check(data, message_type, self._max_fields)
        try:
            return self._read(data, message_type)
        except Exception:  # noqa: BLE001 - see above
            # Without the cause, which may quote what was sent.
            raise MalformedMessageError("the request is malformed") from None

    def _read(self, data: bytes, message_type: Any) -> Any:
        return super().decode(data, message_type)


class HotCodec(RequestCodec):
    """Sends bytes as they are, and decodes chosen message types by functions of their own."""

    def __init__(
        self,
        decoders: Mapping[type, Callable[[bytes], Any]],
        *,
        max_fields: int | None = MAX_FIELDS,
    ) -> None:
        super().__init__(max_fields=max_fields)
        self._decoders = decoders

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The message on the wire; bytes are taken for an encoded message."""
        return message if isinstance(message, bytes) else super().encode(message, message_type)

    def _read(self, data: bytes, message_type: Any) -> Any:
        decoder = self._decoders.get(message_type)
        return decoder(data) if decoder else super()._read(data, message_type)
