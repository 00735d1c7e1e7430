"""Encodes and decodes the messages of a session.

Renewals, acknowledgements and their answers are root coord's most frequent work, so they
skip betterproto. betterproto handles all other messages and every unusual encoding.
"""

from dataclasses import dataclass
from typing import Final

import betterproto

from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.observability.metrics import vecguard_version
from vecguard.root_coord.session_state import (
    FullInvalidation,
    Invalidation,
    Notice,
    PolicyInvalidation,
    Surrender,
)

_VERSION: Final = vecguard_version()
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
    """Asks for a renewal of the proxy's lease."""

    number: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Says that the proxy has applied every notice up to this sequence."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Represents a message that this version does not know."""


Request = Renewal | Acknowledgement | pb.Open | pb.Release | Unknown


def decode_request(data: bytes) -> Request:
    """Reads a SessionRequest. Raises what betterproto raises when it is malformed."""
    if len(data) > _HEADER_BYTES and data[1] == len(data) - 2 and data[2] == _FIRST_NUMBER:
        number = _varint(data, _HEADER_BYTES)
        if number is not None and data[0] == _RENEW:
            return Renewal(number)
        if number is not None and data[0] == _ACKNOWLEDGE:
            return Acknowledgement(number)
    _, content = betterproto.which_one_of(pb.SessionRequest().parse(data), "kind")
    match content:
        case pb.Open() | pb.Release():
            return content
        case pb.Renew():
            return Renewal(content.number or 0)  # None where the field is malformed
        case pb.Acknowledge():
            return Acknowledgement(content.sequence or 0)
        case _:
            return Unknown()


def encode_opened(*, term: int, ttl_seconds: float, renew_interval_seconds: float) -> bytes:
    """Returns the SessionReply that begins a session."""
    return bytes(
        pb.SessionReply(
            opened=pb.Opened(
                term=term,
                # Rounded down: a proxy must not count longer than root coord does.
                lease_ttl_ms=int(ttl_seconds * 1000),
                renew_interval_ms=int(renew_interval_seconds * 1000),
                judges_actors=True,
                serves_roles=True,
                version=_VERSION,
            )
        )
    )


def encode_notice(notice: Notice) -> bytes:
    """Returns the SessionReply of a notice, which the proxy acknowledges."""
    match notice.content:
        case Surrender():
            reply = pb.SessionReply(surrender=pb.Surrender(sequence=notice.sequence))
        case FullInvalidation():
            reply = pb.SessionReply(
                invalidate=pb.Invalidate(sequence=notice.sequence, everything=True)
            )
        case PolicyInvalidation(revision):
            reply = pb.SessionReply(
                invalidate=pb.Invalidate(sequence=notice.sequence, policy_revision=revision)
            )
        case Invalidation(username, revision, roles_only):
            invalidation = pb.Invalidation(
                username=username, revision=revision, roles_only=roles_only
            )
            reply = pb.SessionReply(
                invalidate=pb.Invalidate(sequence=notice.sequence, invalidations=[invalidation])
            )
    return bytes(reply)


def encode_renewed(number: int, term: int) -> bytes:
    """Returns the SessionReply that answers a renewal."""
    content = (
        bytes((_FIRST_NUMBER,))
        + _encoded_varint(number)
        + bytes((_SECOND_NUMBER,))
        + _encoded_varint(term)
    )
    return bytes((_RENEWED, len(content))) + content


def _varint(data: bytes, start: int) -> int | None:
    """Returns the varint that fills `data` from `start` to its end; None if none does."""
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
