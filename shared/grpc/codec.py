"""Protobuf by betterproto, except on paths that are hot enough to do without it.

betterproto takes about 100 µs for a message of two numbers, most of it for its objects.
"""

from collections.abc import Callable, Mapping
from typing import Any

from grpclib.const import Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError


class RequestCodec(ProtoCodec):
    """A server's: what a caller sends and betterproto cannot read is the caller's mistake.

    betterproto raises whatever its parts raise, and reads some fields of a wrong type as None
    or as a text that no later step can encode.
    """

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message. Raises GRPCError when it cannot be read, or not be written again."""
        try:
            message: Any = super().decode(data, message_type)
            bytes(message)
            whole = all(
                getattr(message, name) is not None
                for name, meta in message._betterproto.meta_by_field_name.items()  # noqa: SLF001 - no door
                if not (meta.optional or meta.group)
            )
        except Exception:  # noqa: BLE001 - see above
            # Without the cause, which may quote what was sent.
            raise GRPCError(Status.INTERNAL, "the request is malformed") from None
        if not whole:
            raise GRPCError(Status.INTERNAL, "the request is malformed")
        return message


class HotCodec(ProtoCodec):
    """Sends bytes as they are, and decodes chosen message types by functions of their own."""

    def __init__(self, decoders: Mapping[type, Callable[[bytes], Any]]) -> None:
        self._decoders = decoders

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The message on the wire; bytes are taken for an encoded message."""
        return message if isinstance(message, bytes) else super().encode(message, message_type)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message, in whatever form the type's decoder gives it."""
        decoder = self._decoders.get(message_type)
        return decoder(data) if decoder else super().decode(data, message_type)
