"""Removes names from a reply that lists objects in parallel arrays, without decoding the rest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from vecguard.concurrency.turns import in_turns
from vecguard.errors import MalformedMessageError
from vecguard.grpc.raw_message import Span, encoded, spans
from vecguard.grpc.wire_check import DELIMITED, VARINT

_STATUS: Final = 1
_whole_numbers: Final = re.compile(rb"(?:[\x80-\xff]{0,9}[\x00-\x7f])*").fullmatch
_numbers: Final = re.compile(rb"[\x80-\xff]*[\x00-\x7f]").findall


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a reply.

    Attributes:
        names: the repeated field with the names.
        arrays: the repeated fields with numbers or flags, each with one for every name.
    """

    names: int
    arrays: frozenset[int]


#: Milvus's `ListDatabasesResponse` and `ShowCollectionsResponse`.
DATABASES: Final = Layout(2, frozenset({3, 4}))
COLLECTIONS: Final = Layout(2, frozenset({3, 4, 5, 6, 7, 8}))


class Visible(Protocol):
    """The names that stay."""

    def __contains__(self, name: str, /) -> bool: ...


async def only(reply: bytes, layout: Layout, visible: Visible) -> bytes:
    """Returns the reply without the names that are not in `visible`, and what is parallel to them.

    Of the other fields only the status stays: an unknown field could show hidden objects. A
    server that does not know an array sends none; an array of another length could belong to other
    names, and is left out.

    Raises MalformedMessageError if the reply cannot be read.
    """
    names: list[bytes] = []
    arrays: dict[int, list[bytes]] = {number: [] for number in layout.arrays}
    status: list[bytes] = []
    async for span in in_turns(spans(reply)):
        if span.number == layout.names:
            names.append(_delimited(reply, span))
        elif span.number in arrays:
            arrays[span.number] += _elements(reply, span)
        elif span.number == _STATUS:
            status.append(reply[span.begin : span.end])
    kept = [index async for index, name in in_turns(enumerate(names)) if _text(name) in visible]
    return b"".join(
        (
            *status,
            *(encoded(layout.names, names[index]) for index in kept),
            *_encoded_arrays(arrays, len(names), kept),
        )
    )


def _encoded_arrays(arrays: Mapping[int, list[bytes]], length: int, kept: list[int]) -> list[bytes]:
    return [
        encoded(number, b"".join([elements[index] for index in kept]))
        for number, elements in sorted(arrays.items())
        if len(elements) == length and kept
    ]


def _elements(reply: bytes, span: Span) -> list[bytes]:
    """Returns the encoded numbers of a field: one, or all of a packed field."""
    value = reply[span.value : span.end]
    if span.wire_type == VARINT:
        return [value]
    if span.wire_type != DELIMITED or _whole_numbers(value) is None:
        raise _unreadable()
    found: list[bytes] = _numbers(value)
    return found


def _delimited(reply: bytes, span: Span) -> bytes:
    if span.wire_type != DELIMITED:
        raise _unreadable()
    return reply[span.value : span.end]


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise _unreadable() from None


def _unreadable() -> MalformedMessageError:
    return MalformedMessageError("the list from the backend is malformed")
