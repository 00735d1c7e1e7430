"""The messages of a session as bytes, for the few kinds that each proxy sends each second.

A session's renewals and acknowledgements are root coord's most frequent work, so they
skip betterproto. Any other message, and any unusual encoding, takes the ordinary way.
"""

from dataclasses import dataclass

from shared.generated.vecguard.internal import v1 as pb

# Tags of SessionRequest.renew, .acknowledge and of their only field; of SessionReply.renewed
# and its two fields (protobuf's encoding: field number << 3 | wire type).
_RENEW = 2 << 3 | 2
_ACKNOWLEDGE = 3 << 3 | 2
_FIRST_NUMBER = 1 << 3
_RENEWED = 2 << 3 | 2
_SECOND_NUMBER = 2 << 3
_HEADER_BYTES = 3
# A varint carries seven bits in an octet; the eighth says that more follow.
_SEVEN_BITS, _MORE = 0x7F, 0x80


@dataclass(frozen=True, slots=True)
class Renewal:
    """The proxy asks for its lease to run on."""

    number: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The proxy has applied every notice up to this sequence."""

    sequence: int


def decode_request(data: bytes) -> Renewal | Acknowledgement | pb.SessionRequest:
    """Reads a SessionRequest. Raises what betterproto raises when it is malformed."""
    if len(data) > _HEADER_BYTES and data[1] == len(data) - 2 and data[2] == _FIRST_NUMBER:
        number = _varint(data, _HEADER_BYTES)
        if number is not None and data[0] == _RENEW:
            return Renewal(number)
        if number is not None and data[0] == _ACKNOWLEDGE:
            return Acknowledgement(number)
    return pb.SessionRequest().parse(data)


def encode_renewed(number: int, term: int) -> bytes:
    """A SessionReply that answers a renewal."""
    content = (
        bytes((_FIRST_NUMBER,))
        + _encoded_varint(number)
        + bytes((_SECOND_NUMBER,))
        + _encoded_varint(term)
    )
    return bytes((_RENEWED, len(content))) + content


def _varint(data: bytes, start: int) -> int | None:
    """The number that fills `data` from `start` to its end; None when it does not fill it."""
    value = 0
    for position, octet in enumerate(data[start:]):
        value |= (octet & _SEVEN_BITS) << (7 * position)
        if not octet & _MORE:
            return value if start + position + 1 == len(data) else None
    return None


def _encoded_varint(value: int) -> bytes:
    octets = bytearray()
    while value > _SEVEN_BITS:
        octets.append(value & _SEVEN_BITS | _MORE)
        value >>= 7
    octets.append(value)
    return bytes(octets)
