"""The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B), for decoding."""

from typing import TypeAlias

from vecguard.proxy.http2.errors import CompressionError

# The code is canonical: among codes of one length, symbols count upwards. So the lengths of the
# codes of 0 to 255 and of EOS define it.
# fmt: off
_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
)
# fmt: on
_EOS = 256
_MAX_PADDING_BITS = 7

_Node: TypeAlias = "int | list[_Node]"


class _Row(dict[int, tuple[bytes, "_Row"]]):
    """Maps each next byte, at one node of the tree, to its symbols and the next node.

    Filled when a byte comes, because few of the 65,536 possible entries are ever used.

    Attributes:
        may_end: whether a string may end here, in the padding that is EOS's beginning.
    """

    def __init__(self, node: list[_Node], *, may_end: bool) -> None:
        super().__init__()
        self._node = node
        self.may_end = may_end

    def __missing__(self, byte: int) -> tuple[bytes, "_Row"]:
        node, symbols = self._node, bytearray()
        for shift in range(7, -1, -1):
            child = node[byte >> shift & 1]
            if isinstance(child, int):
                if child == _EOS:
                    raise CompressionError("a Huffman string contains EOS")
                symbols.append(child)
                child = _TREE
            node = child
        entry = self[byte] = (bytes(symbols), _row_at(node))
        return entry


def decode(data: bytes) -> bytes:
    """Decodes a Huffman-coded string. Raises CompressionError."""
    row = _ROOT
    pieces = []
    for byte in data:
        piece, row = row[byte]
        pieces.append(piece)
    if not row.may_end:
        raise CompressionError("a Huffman string has invalid padding")
    return b"".join(pieces)


def _tree() -> list[_Node]:
    root: list[_Node] = []
    level: list[list[_Node]] = [root]
    for length in range(1, max(_LENGTHS) + 1):
        leaves = [symbol for symbol, bits in enumerate(_LENGTHS) if bits == length]
        following: list[list[_Node]] = []
        for node in level:
            for _ in range(2):
                if leaves:
                    node.append(leaves.pop(0))
                else:
                    child: list[_Node] = []
                    node.append(child)
                    following.append(child)
        level = following
    return root


def _row_at(node: list[_Node]) -> _Row:
    row = _ROWS.get(id(node))
    if row is None:
        row = _ROWS[id(node)] = _Row(node, may_end=False)
    return row


def _rows_of_padding() -> dict[int, _Row]:
    rows: dict[int, _Row] = {}
    node: _Node = _TREE
    for _ in range(_MAX_PADDING_BITS + 1):
        assert isinstance(node, list)  # noqa: S101 - a code of all ones is longer than this
        rows[id(node)] = _Row(node, may_end=True)
        node = node[1]
    return rows


_TREE = _tree()
# By identity of the nodes, which live as long as the tree.
_ROWS = _rows_of_padding()
_ROOT = _ROWS[id(_TREE)]
