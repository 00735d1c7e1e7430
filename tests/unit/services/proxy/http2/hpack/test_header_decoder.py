"""HPACK: our decoder and our representations, with the `hpack` library as the oracle."""

import hpack
import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from tests.support.header_blocks import UNLIMITED, headers
from tests.support.policies import limits_with
from vecguard.proxy.http2.errors import CompressionError, ErrorCode, Http2ConnectionError
from vecguard.proxy.http2.hpack import fields, integers
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.http2.hpack.static_table import ENTRIES
from vecguard.proxy.http2.limits import Limit

# Few names and values, so that tables are used; any bytes, so that Huffman is.
NAMES = st.sampled_from([name for name, _ in ENTRIES] + [b"k", b"client-request-id"]) | st.binary(
    max_size=12
)
VALUES = st.sampled_from([b"", b"1", b"200", b"application/grpc"]) | st.binary(max_size=60)
SENSITIVE = st.booleans()
LISTS = st.lists(st.tuples(NAMES, VALUES, SENSITIVE), max_size=12)
SIZES = st.none() | st.integers(0, 4096)


def header_tuples(items):
    return [
        NeverIndexedHeaderTuple(name, value) if sensitive else (name, value)
        for name, value, sensitive in items
    ]


def plain(items):
    return [(name, value) for name, value, _ in items]


def seen(decoded):
    return [(field.name, field.value) for field in decoded]


def stripped(items):
    return [(name, value.strip(b" \t")) for name, value, *_ in items]


@given(st.lists(st.tuples(LISTS, SIZES, st.booleans()), max_size=6))
def test_blocks_mean_what_another_encoder_meant_through_evictions_and_size_updates(blocks):
    encoder, decoder = Encoder(), HeaderDecoder(UNLIMITED)
    for items, size, huffman in blocks:
        if size is not None:
            encoder.header_table_size = size
        block = encoder.encode(header_tuples(items), huffman=huffman)
        assert seen(decoder.decode(block)) == stripped(items)


@given(st.lists(st.tuples(LISTS, SIZES, st.booleans()), max_size=6))
def test_transcoded_blocks_mean_the_same_to_a_decoder_that_has_seen_nothing(blocks):
    encoder, decoder = Encoder(), HeaderDecoder(UNLIMITED)
    for items, size, huffman in blocks:
        if size is not None:
            encoder.header_table_size = size
        decoded = decoder.decode(encoder.encode(header_tuples(items), huffman=huffman))
        block = b"".join(field.wire for field in decoded)
        fresh = Decoder()
        assert [
            (bytes(name), bytes(value)) for name, value in fresh.decode(block, raw=True)
        ] == stripped(items)
        assert not fresh.header_table.dynamic_entries, "nothing is put into the next peer's table"


@given(LISTS)
def test_what_must_never_be_indexed_is_passed_on_as_such(items):
    decoded = HeaderDecoder(UNLIMITED).decode(Encoder().encode(header_tuples(items)))
    known = set(ENTRIES)  # the oracle sends what is in a table by its index
    for field, (name, value, sensitive) in zip(decoded, items, strict=True):
        if sensitive and (name, value) not in known:
            assert field.wire[0] & 0xF0 == 0x10
        known.add((name, value))


@given(LISTS, st.booleans())
def test_a_block_that_is_cut_anywhere_is_an_error_or_a_shorter_list(items, huffman):
    block = Encoder().encode(header_tuples(items), huffman=huffman)
    whole = seen(HeaderDecoder(UNLIMITED).decode(block))
    for cut in range(len(block)):
        try:
            part = seen(HeaderDecoder(UNLIMITED).decode(block[:cut]))
        except CompressionError:
            continue
        assert part == whole[: len(part)]
        assert len(part) < len(whole)


@given(st.binary(max_size=60))
def test_any_bytes_are_understood_as_the_oracle_does_or_refused(block):
    try:
        expected = [
            (bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)
        ]
    except hpack.HPACKError:
        expected = None
    try:
        got = seen(HeaderDecoder(UNLIMITED).decode(block))
    except CompressionError:
        # We are stricter in what the RFC forbids and the oracle lets pass.
        return
    assert expected is not None
    assert got == stripped(expected)


@given(st.integers(0, 2**27), st.integers(1, 8))
def test_rfc7541_5_1_integers_are_read_as_they_are_written(value, bits):
    prefix = 2**bits - 1
    encoded = integers.encode(value, prefix)
    assert encoded == bytes(hpack.hpack.encode_integer(value, bits))
    if encoded[0] == prefix:
        assert integers.decode(encoded, 1, prefix) == (value, len(encoded))
    else:
        assert encoded == bytes([value])


@given(NAMES, VALUES, st.booleans())
def test_our_own_literals_are_understood(name, value, secret):
    assert headers(fields.literal(name, value, secret=secret)) == [(name, value)]


def test_every_entry_of_the_static_table_is_passed_on_by_its_index():
    for index, entry in enumerate(ENTRIES, start=1):
        [field] = HeaderDecoder(UNLIMITED).decode(bytes([0x80 | index]))
        assert (field.name, field.value) == entry
        assert headers(field.wire) == [entry]


@pytest.mark.parametrize(
    ("section", "block"),
    [
        ("2.3.3 an index beyond both tables", b"\xbe"),
        ("2.3.3 an index beyond both tables in a literal", b"\x7e\x01a"),
        ("4.2 a size update after the first field", b"\x82\x20"),
        ("5.1 an integer without end", b"\xff" + b"\x80" * 20 + b"\x01"),
        ("5.1 a block that ends within an integer", b"\xff\x80"),
        ("5.2 a string longer than the block", b"\x00\x05a"),
        ("5.2 a string that is not there", b"\x00"),
        ("5.2 a value that is not there", b"\x00\x01a"),
        ("5.2 padding of more than seven bits", b"\x00\x01a\x82\x1f\xff"),
        ("5.2 padding that is not of ones", b"\x00\x01a\x81\x18"),
        ("5.2 EOS within a string", b"\x00\x01a\x84\xff\xff\xff\xff"),
        ("6.1 index 0", b"\x80"),
        ("6.3 a table larger than allowed", b"\x3f\xe2\x1f"),
    ],
)
def test_rfc7541_broken_blocks_are_refused(section, block):
    with pytest.raises(CompressionError):
        HeaderDecoder(limits_with()).decode(block)


def test_rfc7541_4_4_a_field_larger_than_the_table_empties_it():
    decoder = HeaderDecoder(limits_with())
    decoder.decode(b"\x40\x01a\x01b")
    assert seen(decoder.decode(b"\xbe")) == [(b"a", b"b")]
    decoder.decode(b"\x40\x01a\x7f\x82\x1f" + b"x" * 4097)
    with pytest.raises(CompressionError):
        decoder.decode(b"\xbe")


def test_a_list_over_the_limit_is_read_to_its_end_and_not_kept():
    limits = limits_with(header_list_bytes=1000)
    decoder = HeaderDecoder(limits)
    bomb = b"\x40\x01a\x7f\x81\x01" + b"x" * 256 + b"\xbe" * 1900 + b"\x40\x01c\x01d"
    assert decoder.decode(bomb) is None
    assert seen(decoder.decode(b"\xbe")) == [(b"c", b"d")]
    assert decoder._size <= limits.table_bytes


@pytest.mark.parametrize(
    ("name", "value", "legal"),
    [
        (b"k", b"v", True),
        (b"k", b"\xffa\tb\x80", True),
        (b":path", b"/", True),
        (b"K", b"v", False),
        (b"", b"v", False),
        (b":", b"v", False),
        (b"a:b", b"v", False),
        (b"k\xe9", b"v", False),
        (b"k", b"a\nb", False),
        (b"k", b"a\rb", False),
        (b"k", b"a\0b", False),
        (b"k", b"\x01", False),
        (b"k", b"a\x08", False),
        (b"k", b"a\x0bb", False),
        (b"k", b"\x1f", False),
        (b"k", b"\x7f", False),
        (b"k", b" \r ", False),
    ],
)
@pytest.mark.parametrize("huffman", [False, True])
def test_rfc9113_8_2_1_forbidden_bytes_are_seen(name, value, legal, huffman):
    block = Encoder().encode([(name, value)], huffman=huffman)
    [field] = HeaderDecoder(UNLIMITED).decode(block)
    assert field.legal is legal


def test_a_list_far_over_the_limit_is_not_read_to_its_end():
    """It would take as long as thousands of calls."""
    decoder = HeaderDecoder(limits_with(header_list_bytes=1000))
    with pytest.raises(Http2ConnectionError) as raised:
        decoder.decode(b"\x90" * 2100)
    assert (raised.value.code, raised.value.limit) == (
        ErrorCode.ENHANCE_YOUR_CALM,
        Limit.HEADER_LIST,
    )
    # A server's connection is shared by many clients.
    assert (
        HeaderDecoder(limits_with(header_list_bytes=1000), remembers=True).decode(b"\x90" * 2100)
        is None
    )


def test_a_block_may_say_64_times_how_large_the_table_is():
    assert seen(HeaderDecoder(limits_with()).decode(b"\x20" * 64 + b"\x82")) == [
        (b":method", b"GET")
    ]
    with pytest.raises(CompressionError):
        HeaderDecoder(limits_with()).decode(b"\x20" * 65 + b"\x82")


def test_indices_that_stand_for_too_much_are_refused_and_the_table_learns_from_what_follows():
    decoder = HeaderDecoder(limits_with(header_list_bytes=50))
    assert seen(decoder.decode(b"\x88")) == [(b":status", b"200")]
    assert decoder.decode(b"\x88\x88" + b"\x40\x01k\x01v") is None
    assert seen(decoder.decode(b"\xbe")) == [(b"k", b"v")]


def test_what_is_remembered_of_blocks_has_an_end():
    decoder = HeaderDecoder(limits_with(), remembers=True)
    blocks = [fields.literal(b"k", b"%d" % number) for number in range(200)]
    for block in blocks * 2:
        assert headers(block) == seen(decoder.decode(block))
    assert 0 < len(decoder._known) <= 64


def test_what_is_remembered_of_names_has_an_end():
    for number in range(3000):
        fields.name(b"name-%d" % number)
        coded = hpack.huffman.HuffmanEncoder(*_CODES).encode(b"coded-%d" % number)
        fields.written_name(bytes((0x80 | len(coded),)) + coded, coded, is_coded=True)
    assert len(fields.NAMES_AS_WRITTEN) <= 2048


_CODES = (
    hpack.huffman_constants.REQUEST_CODES,
    hpack.huffman_constants.REQUEST_CODES_LENGTH,
)
