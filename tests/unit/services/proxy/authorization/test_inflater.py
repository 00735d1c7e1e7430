import gzip
import tracemalloc
import zlib
from collections import deque

import pytest

from vecguard.errors import MessageTooLargeError
from vecguard.proxy.authorization.errors import UnreadableRequestError, UnsupportedEncodingError
from vecguard.proxy.authorization.inflater import Inflater

PIECE_BYTES = 2**16
BOMB_BYTES = 2**27


def inflated(data, encoding=b"gzip", *, max_bytes=2**20, step=None):
    inflater = Inflater(encoding, max_bytes)
    parts = []
    for at in range(0, len(data), step or len(data)):
        parts += inflater.inflate(data[at : at + (step or len(data))])
    inflater.finish()
    assert all(len(part) <= PIECE_BYTES for part in parts)
    return b"".join(parts)


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("size", [0, 1, 1000, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES])
def test_what_was_compressed_comes_back(size, step):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert inflated(gzip.compress(data, mtime=0), step=step) == data
    assert inflated(zlib.compress(data), b"deflate", step=step) == data


def test_a_long_run_that_is_cut_while_a_piece_is_full_comes_back():
    data = bytes(PIECE_BYTES + 200)
    whole = gzip.compress(data, mtime=0)
    for cut in range(1, len(whole)):
        inflater = Inflater(b"gzip", len(data))
        parts = [*inflater.inflate(whole[:cut]), *inflater.inflate(whole[cut:])]
        inflater.finish()
        assert b"".join(parts) == data


def test_raw_deflate_is_refused():
    deflater = zlib.compressobj(wbits=-15)
    raw = deflater.compress(b"docs" * 50) + deflater.flush()
    with pytest.raises(UnreadableRequestError, match="damaged"):
        inflated(raw, b"deflate")


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_damage_is_refused(encoding):
    whole = (
        gzip.compress(b"docs" * 50, mtime=0) if encoding == b"gzip" else zlib.compress(b"docs" * 50)
    )
    for place in (0, 1, len(whole) - 1, len(whole) - 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with pytest.raises(UnreadableRequestError):
            inflated(bytes(damaged), encoding)


def test_data_of_the_other_encoding_is_refused():
    with pytest.raises(UnreadableRequestError, match="damaged"):
        inflated(gzip.compress(b"docs", mtime=0), b"deflate")
    with pytest.raises(UnreadableRequestError, match="damaged"):
        inflated(zlib.compress(b"docs"), b"gzip")


def test_every_cut_is_refused():
    whole = gzip.compress(b"docs" * 50, mtime=0)
    for size in range(1, len(whole)):
        with pytest.raises(UnreadableRequestError, match="is cut off"):
            inflated(whole[:size])
    with pytest.raises(UnreadableRequestError, match="is cut off"):
        Inflater(b"gzip", 1).finish()


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "more",
    [b"\0", gzip.compress(b"more", mtime=0), gzip.compress(b"", mtime=0)],
    ids=["a byte", "a member", "an empty member"],
)
def test_more_after_the_end_is_refused(more, step):
    with pytest.raises(UnreadableRequestError, match="more data follows the end"):
        inflated(gzip.compress(b"docs", mtime=0) + more, step=step)


def test_a_message_is_inflated_up_to_the_limit():
    data = bytes(1000)
    assert inflated(gzip.compress(data, mtime=0), max_bytes=1000) == data
    with pytest.raises(MessageTooLargeError) as caught:
        inflated(gzip.compress(data, mtime=0), max_bytes=999)
    assert (caught.value.size, caught.value.limit) == (None, 999)


def test_a_bomb_ends_in_constant_memory():
    deflater = zlib.compressobj(9, wbits=31)
    block = bytes(2**20)
    parts = [deflater.compress(block) for _ in range(BOMB_BYTES // len(block))]
    bomb = b"".join(parts) + deflater.flush()
    inflater = Inflater(b"gzip", BOMB_BYTES - 1)
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLargeError):
            deque(inflater.inflate(bomb), maxlen=1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * PIECE_BYTES


@pytest.mark.parametrize("encoding", [b"identity", b"zstd", b""])
def test_another_encoding_is_refused(encoding):
    with pytest.raises(UnsupportedEncodingError, match="use gzip, deflate or no compression"):
        Inflater(encoding, 1)
