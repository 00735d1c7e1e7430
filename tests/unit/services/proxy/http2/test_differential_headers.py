"""HPACK representation by representation, against `hpack`: what no encoder would choose too.

`hpack/test_header_decoder.py` decodes what another encoder writes. Here the representations are
chosen one by one (RFC 7541, section 6), with any index, length form and Huffman choice.
"""

import hpack
import pytest
from hpack import Decoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frame_sequences import frame
from tests.support.header_blocks import UNLIMITED, headers
from tests.support.http2_oracle import Ours
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.errors import CompressionError
from vecguard.proxy.http2.hpack import integers
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder

_HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
TEXTS = st.sampled_from([b"", b"a", b"grpc-status", b"x" * 200]) | st.binary(max_size=20)
# Mostly what exists: 61 static entries and a few dynamic ones. One that does not ends the test.
INDICES = st.sampled_from([*range(1, 64)] * 8 + [64, 65, 66, 0, 127, 300])


@st.composite
def strings(draw):
    text = draw(TEXTS)
    if draw(st.booleans()):
        text = _HUFFMAN.encode(text)
        return integers.encode(len(text), 0x7F, 0x80) + text
    return integers.encode(len(text), 0x7F) + text


def integer_in_long_form(value, prefix, pattern):
    """With needless zero bytes (RFC 7541, section 5.1 allows them)."""
    if value < prefix:
        return integers.encode(value, prefix, pattern)
    encoded = bytearray(integers.encode(value, prefix, pattern))
    encoded[-1] |= 0x80
    return bytes(encoded + b"\0")


@st.composite
def representations(draw):
    kind = draw(st.sampled_from(["indexed"] * 3 + ["incremental"] * 3 + ["without", "never"]))
    encode = draw(st.sampled_from([integers.encode] * 5 + [integer_in_long_form]))
    if kind == "indexed":
        return encode(draw(INDICES), 0x7F, 0x80)
    prefix, pattern = {"incremental": (0x3F, 0x40), "without": (0x0F, 0), "never": (0x0F, 0x10)}[
        kind
    ]
    if draw(st.booleans()):
        index = draw(INDICES.filter(bool))
        return encode(index, prefix, pattern) + draw(strings())
    return bytes((pattern,)) + draw(strings()) + draw(strings())


SIZE_UPDATES = st.lists(
    st.sampled_from([0, 31, 64, 70, 100, 100, 130, 200, 200, 4096, 4097]).map(
        lambda size: integers.encode(size, 0x1F, 0x20)
    ),
    max_size=3,
)
BLOCKS = st.tuples(SIZE_UPDATES, st.lists(representations(), max_size=8)).map(
    lambda parts: b"".join(parts[0] + parts[1])
)


def theirs(decoder, block):
    try:
        return [
            (bytes(name), bytes(value).strip(b" \t"))
            for name, value in decoder.decode(block, raw=True)
        ]
    except hpack.HPACKError:
        return None


def ours(decoder, block):
    try:
        fields = decoder.decode(block)
    except CompressionError:
        return None
    assert fields is not None
    return fields


@settings(max_examples=200, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=5))
def test_blocks_of_any_representations_are_read_or_refused_as_hpack_does(blocks):
    mine, oracle = HeaderDecoder(UNLIMITED), Decoder(max_header_list_size=2**24)
    for block in blocks:
        expected = theirs(oracle, block)
        got = ours(mine, block)
        if got is None or expected is None:
            assert got is None, "we read what the oracle refuses"
            assert expected is None, "we refuse what the oracle reads"
            return
        assert [(field.name, field.value) for field in got] == expected
        # And for the next hop they are the same.
        assert headers(b"".join(field.wire for field in got)) == expected
        assert mine._size == oracle.header_table._current_size


@settings(max_examples=100, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=3))
def test_a_decoder_that_remembers_blocks_says_the_same(blocks):
    plain, remembering = HeaderDecoder(UNLIMITED), HeaderDecoder(UNLIMITED, remembers=True)
    for block in [each for each in blocks for _ in range(3)]:
        expected, got = ours(plain, block), ours(remembering, block)
        if expected is None:
            assert got is None
            return
        assert got is not None
        assert [(field.name, field.value, field.wire, field.legal) for field in got] == [
            (field.name, field.value, field.wire, field.legal) for field in expected
        ]


@pytest.mark.parametrize("client_side", [False, True])
@settings(max_examples=25, deadline=None)
@given(BLOCKS)
def test_a_block_in_two_frames_cut_at_any_byte_means_the_same(client_side, block):
    def outcome(*parts):
        connection = Ours(client_side=client_side)
        if client_side:
            connection.request(end=True)
        said = (b"" if client_side else frames.PREFACE) + frames.settings({})
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            kind = frames.CONTINUATION if number else frames.HEADERS
            said += frame(kind, frames.END_HEADERS if last else 0, 1, part)
        return connection.hear(said)

    whole = outcome(block)
    for cut in range(len(block) + 1):
        assert outcome(block[:cut], block[cut:]) == whole, f"cut at {cut}"
