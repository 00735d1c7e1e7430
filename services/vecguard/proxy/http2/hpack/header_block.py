"""A header block as it was decoded: what came before in the same words, and the rest."""

from collections.abc import Iterator
from typing import Any

from vecguard.proxy.http2.hpack.fields import Field


class Known:
    """Fields that come again and again in one sequence, as one object.

    Attributes:
        size: what they count for in the size of a list.
        note: for whoever reads them: what was made of them the first time.
    """

    __slots__ = ("fields", "note", "size")

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields
        self.size = sum([field.size for field in fields])
        self.note: Any = None


class HeaderBlock:
    """The fields of a block, in order: `known`, then `others`.

    Attributes:
        others_size: what the others count for in the size of a list.
    """

    __slots__ = ("known", "others", "others_size")

    def __init__(self, known: Known, others: list[Field], others_size: int = 0) -> None:
        self.known = known
        self.others = others
        self.others_size = others_size

    def __iter__(self) -> Iterator[Field]:
        yield from self.known.fields
        yield from self.others
