"""A decoded header block: fields that were decoded before, and the rest."""

from collections.abc import Iterator
from typing import Any

from vecguard.proxy.http2.hpack.fields import Field


class Known:
    """A sequence of fields that occurs repeatedly, decoded once.

    Attributes:
        size: their size in a header list.
        note: for the code that reads them, which keeps its first result here.
    """

    __slots__ = ("fields", "note", "size")

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields
        self.size = sum([field.size for field in fields])
        self.note: Any = None


class HeaderBlock:
    """The fields of a block, in order: `known`, then `others`.

    Attributes:
        others_size: the size of the others in a header list.
    """

    __slots__ = ("known", "others", "others_size")

    def __init__(self, known: Known, others: list[Field], others_size: int = 0) -> None:
        self.known = known
        self.others = others
        self.others_size = others_size

    def __iter__(self) -> Iterator[Field]:
        yield from self.known.fields
        yield from self.others
