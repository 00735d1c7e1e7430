"""Protobuf by betterproto, except on paths that are hot enough to do without it.

betterproto takes about 100 µs for a message of two numbers, most of it for its objects.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import betterproto
from grpclib.encoding.proto import ProtoCodec

from shared.errors import MalformedMessageError


class RequestCodec(ProtoCodec):
    """A server's: what a caller sends and betterproto cannot read is the caller's mistake.

    betterproto raises whatever its parts raise, and reads a field of a wrong wire type as None
    or as whatever that type holds.
    """

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message. Raises MalformedMessageError when it cannot be read."""
        try:
            return self._read(data, message_type)
        except Exception:  # noqa: BLE001 - see above
            # Without the cause, which may quote what was sent.
            raise MalformedMessageError("the request is malformed") from None

    def _read(self, data: bytes, message_type: Any) -> Any:
        message: Any = super().decode(data, message_type)
        _require_types(message)
        return message


class HotCodec(RequestCodec):
    """Sends bytes as they are, and decodes chosen message types by functions of their own."""

    def __init__(self, decoders: Mapping[type, Callable[[bytes], Any]]) -> None:
        self._decoders = decoders

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The message on the wire; bytes are taken for an encoded message."""
        return message if isinstance(message, bytes) else super().encode(message, message_type)

    def _read(self, data: bytes, message_type: Any) -> Any:
        decoder = self._decoders.get(message_type)
        return decoder(data) if decoder else super()._read(data, message_type)


# The Python types of protobuf's; all others are numbers without a fraction. No request has a map.
_TYPES: Final[Mapping[str, type]] = {
    betterproto.TYPE_STRING: str,
    betterproto.TYPE_BYTES: bytes,
    betterproto.TYPE_FLOAT: float,
    betterproto.TYPE_DOUBLE: float,
    betterproto.TYPE_MESSAGE: betterproto.Message,
}


def _require_types(message: Any) -> None:
    """Raises TypeError when a field, here or further inside, has no value of its type."""
    kinds = message._betterproto  # noqa: SLF001 - no door
    for name, meta in kinds.meta_by_field_name.items():
        value = getattr(message, name)
        if value is None and (meta.optional or meta.group):
            continue
        kind = _TYPES.get(meta.proto_type, int)
        for each in value if kinds.default_gen[name] is list else (value,):
            if not isinstance(each, kind):
                raise TypeError(name)
            if isinstance(each, betterproto.Message) and betterproto.serialized_on_wire(each):
                _require_types(each)
