"""The scanner against requests of pymilvus. The fuzz tests compare it with protobuf at length."""

import random
import tracemalloc

import pytest
from pymilvus.grpc_gen import milvus_pb2

from tests.support.request_oracle import LIMIT, Fields, compressed, framed, scanned
from vecguard.errors import (
    InvalidParameterError,
    MessageTooLargeError,
    Status,
    TooManyFieldsError,
    VecguardError,
)
from vecguard.proxy.authorization.errors import UnreadableRequestError, UnsupportedEncodingError
from vecguard.proxy.authorization.field_scanner import (
    MAX_FIELDS,
    MAX_INFLATED_FIELDS,
    MAX_NAMES,
    MAX_NAMES_BYTES,
    MAX_VALUE_BYTES,
)
from vecguard.proxy.authorization.methods import METHODS
from vecguard.proxy.authorization.request_fields import (
    Outline,
    RequestScanner,
    fields_of_whole,
    is_whole,
)

MEBIBYTE = 2**20


def need_of(method):
    return METHODS[f"/milvus.proto.milvus.MilvusService/{method}".encode()]


SEARCH = need_of("Search")


def field(number, value: bytes, wire_type=2):
    assert number < 16
    assert len(value) < 2**14
    size = (
        bytes([len(value)])
        if len(value) < 128
        else bytes([len(value) & 127 | 128, len(value) >> 7])
    )
    return bytes([number << 3 | wire_type]) + size + value


def bytewise(data):
    return [data[at : at + 1] for at in range(len(data))]


def read(method, message: bytes, **options):
    """What is found in one piece, byte by byte and compressed, which is the same."""
    need = need_of(method)
    frame = framed(message)
    found = scanned(need, [frame], **options)
    assert scanned(need, bytewise(frame), **options) == found
    for encoding in (b"gzip", b"deflate"):
        frame = framed(compressed(message, encoding), 1)
        assert scanned(need, [frame], encoding=encoding, **options) == found
        assert scanned(need, bytewise(frame), encoding=encoding, **options) == found
    return found


def refused(message: bytes, match, method="Search", error=UnreadableRequestError):
    """The error is the same in one piece and byte by byte."""
    frame = framed(message)
    for pieces in ([frame], bytewise(frame)):
        with pytest.raises(error, match=match):
            scanned(need_of(method), pieces)


# What is found.


def test_a_search_has_a_database_and_a_collection():
    request = milvus_pb2.SearchRequest(
        db_name="db", collection_name="docs", placeholder_group=bytes(1100), nq=300
    )
    request.search_params.add(key="topk", value="10")
    assert read("Search", request.SerializeToString()) == Fields("db", ("docs",), "", "")


def test_an_empty_request_names_nothing():
    assert read("Search", b"") == Fields("", ("",), "", "")


def test_a_need_without_a_name_is_about_everything():
    request = milvus_pb2.CreateCollectionRequest(db_name="db", collection_name="docs")
    assert read("CreateCollection", request.SerializeToString()).names == ("*",)


def test_the_last_value_counts():
    message = field(3, b"mine") + field(2, b"db") + field(3, b"theirs") + field(2, b"other")
    assert read("Search", message) == Fields("other", ("theirs",), "", "")


def test_an_empty_last_value_counts():
    assert read("Search", field(3, b"mine") + field(3, b"")).names == ("",)
    assert read("SelectUser", field(2, field(1, b"bob")) + field(2, field(1, b""))).names == ("*",)


def test_flush_has_several_names():
    request = milvus_pb2.FlushRequest(db_name="db", collection_names=["a", "b", "a"])
    assert read("Flush", request.SerializeToString()) == Fields("db", ("a", "b", "a"), "", "")
    assert read("Flush", b"").names == ()


def test_a_user_is_in_a_message_whose_occurrences_are_merged():
    user = milvus_pb2.SelectUserRequest(user=milvus_pb2.UserEntity(name="bob"))
    message = user.SerializeToString()
    assert read("SelectUser", message).names == ("bob",)
    assert read("SelectUser", message + field(2, b"")).names == ("bob",)
    assert read("SelectUser", message + field(2, field(1, b"a") + field(1, b"z"))).names == ("z",)


def test_without_a_message_every_user_is_meant():
    assert read("SelectUser", b"").names == ("*",)
    assert read("SelectUser", field(2, b"")).names == ("*",)


def test_a_grant_has_a_role():
    request = milvus_pb2.SelectGrantRequest()
    request.entity.role.name = "readers"
    request.entity.object_name = "docs"
    message = request.SerializeToString()
    assert read("SelectGrant", message) == Fields("", ("*",), "", "readers")
    assert read("SelectGrant", message + field(2, field(1, b""))).role == "readers"
    assert read("SelectGrant", b"").role == ""


def test_a_renamed_collection_has_another_database():
    request = milvus_pb2.RenameCollectionRequest(
        db_name="a", oldName="x", newName="y", newDBName="b"
    )
    assert read("RenameCollection", request.SerializeToString()) == Fields("a", ("*",), "b", "")


def test_a_restored_snapshot_has_another_database():
    request = milvus_pb2.RestoreSnapshotRequest(
        name="s", db_name="a", collection_name="x", target_db_name="b"
    )
    assert read("RestoreSnapshot", request.SerializeToString()) == Fields("a", ("x",), "b", "")


@pytest.mark.parametrize("name", ["a.b", "*", "[", "?", "\\", "/", "é", "\0", " "])
def test_every_name_is_taken_as_it_is(name):
    assert read("Search", field(3, name.encode())).names == (name,)


def test_tags_and_lengths_may_be_longer_than_needed():
    assert read("Search", b"\x9a\x80\x80\x80\x00\x81\x80\x80\x80\x00a").names == ("a",)


def test_values_of_other_fields_are_skipped():
    others = [
        field(4, b"\xff\x1a\x01x"),
        b"\x50\x01",  # a small number
        b"\x50" + b"\xff" * 9 + b"\x01",  # the longest
        b"\x79" + bytes(8),
        b"\x7d" + bytes(4),
        b"\xfa\xff\xff\xff\x0f\x01x",  # the largest field number
        field(6, bytes(5000)),
    ]
    message = b"".join(field(3, b"docs") + other for other in others)
    assert read("Search", message).names == ("docs",)


@pytest.mark.parametrize("kind", [bytearray, memoryview, bytes])
def test_pieces_may_be_any_bytes(kind):
    assert scanned(SEARCH, [kind(framed(field(3, b"docs")))]).names == ("docs",)


def test_cuts_anywhere_change_nothing():
    dice = random.Random(1)
    message = field(2, b"db") + field(6, bytes(300)) + b"\x7d" + bytes(4) + field(3, b"docs" * 40)
    frame = framed(message)
    for _ in range(2000):
        cuts = sorted(dice.randrange(len(frame) + 1) for _ in range(dice.randrange(6)))
        pieces = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
        assert scanned(SEARCH, pieces) == Fields("db", ("docs" * 40,), "", "")


def test_identity_is_no_compression():
    frame = framed(field(3, b"docs"), 1)
    assert scanned(SEARCH, [frame], encoding=b"identity").names == ("docs",)


def test_an_encoding_says_nothing_of_a_message_without_the_flag():
    assert scanned(SEARCH, [framed(field(3, b"docs"))], encoding=b"zstd").names == ("docs",)


def test_a_large_insert_takes_constant_memory():
    scanner = RequestScanner(need_of("Insert"), encoding=None, max_bytes=2**30)
    size = 64 * MEBIBYTE
    head = field(3, b"docs") + b"\x2a\x80\x80\x80\x20"  # a value of 64 MiB
    tail = field(2, b"db")
    piece = bytes(2**14)
    tracemalloc.start()
    try:
        scanner.feed(b"\0" + (len(head) + size + len(tail)).to_bytes(4, "big") + head)
        for _ in range(size // len(piece)):
            scanner.feed(piece)
        scanner.feed(tail)
        found = scanner.finish()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.database, found.names) == ("db", ("docs",))
    assert most < 2**15


# What protobuf refuses, and so do we.


@pytest.mark.parametrize("method", ["Search", "Flush"])
def test_a_name_that_is_not_utf_8_is_refused(method):
    refused(field(3, b"\xff"), "not UTF-8", method)
    refused(field(3, b"\xed\xa0\x80") + field(3, b"fine"), "not UTF-8", method)
    refused(field(2, b"\xff"), "not UTF-8", method)


def test_another_database_that_is_not_utf_8_is_refused():
    refused(field(5, b"\xff"), "not UTF-8", "RenameCollection")


@pytest.mark.parametrize("value", [field(1, b"\xff"), b"\x0a", b"\x0a\x05ab", b"\x10", b"\x00\x00"])
def test_a_malformed_message_on_the_path_is_refused(value):
    refused(field(2, value), None, "SelectUser")
    refused(field(2, field(1, value)), None, "SelectGrant")


@pytest.mark.parametrize("message", [b"\x00\x01", b"\x02\x00", b"\x82\x00\x00", b"\x05" + bytes(4)])
def test_field_number_0_is_refused(message):
    refused(message, "number 0")


@pytest.mark.parametrize("tag", [b"\x9a\x80\x80\x80\x80\x00", b"\x9a\x80\x80\x80\x10"])
def test_a_tag_or_length_over_32_bits_or_5_bytes_is_refused(tag):
    refused(tag + b"\x01a", "a tag or a length")
    refused(b"\x32" + tag + b"a", "a tag or a length")


def test_a_number_of_more_than_10_bytes_is_refused():
    refused(b"\x50" + b"\xff" * 10 + b"\x01", "a number in the request is too long")


@pytest.mark.parametrize(
    "message", [b"\x32\x02x", b"\x1a\x02x", b"\x7d" + bytes(3), b"\x79" + bytes(7)]
)
def test_a_value_that_is_longer_than_the_message_is_refused(message):
    refused(message, "longer than its message")


@pytest.mark.parametrize(
    "message", [b"\x32", b"\xb2", b"\x32\x80", b"\x50", b"\x50\x80", b"\x50\xff\xff"]
)
def test_a_message_that_ends_within_a_field_is_refused(message):
    refused(message, "ends in the middle of a field")


@pytest.mark.parametrize("message", [b"\x32\x02x", b"\x1a\x02x", b"\x7d" + bytes(3)])
def test_an_inflated_message_that_ends_within_a_field_is_refused(message):
    frame = framed(compressed(message, b"gzip"), 1)
    with pytest.raises(UnreadableRequestError, match="ends in the middle of a field"):
        scanned(SEARCH, [frame], encoding=b"gzip")


# What we refuse beyond that.


@pytest.mark.parametrize("wire_type", [3, 4, 6, 7])
def test_groups_and_unknown_wire_types_are_refused(wire_type):
    refused(bytes([10 << 3 | wire_type, 10 << 3 | 4]), f"wire type {wire_type}")
    refused(bytes([3 << 3 | wire_type, 3 << 3 | 4]), f"wire type {wire_type}")


@pytest.mark.parametrize(
    ("method", "number"),
    [("Search", 3), ("Search", 2), ("Flush", 3), ("SelectUser", 2), ("RenameCollection", 5)],
)
@pytest.mark.parametrize("value", [b"\0\x01", b"\x01" + bytes(8), b"\x05" + bytes(4)])
def test_a_wrong_wire_type_of_a_needed_field_is_refused(method, number, value):
    message = bytes([number << 3 | value[0]]) + value[1:]
    refused(message, f"field {number} of the request has wire type {value[0]}", method)


def test_a_wrong_wire_type_on_the_path_is_refused():
    refused(field(2, b"\x08\x01"), "field 1 of the request has wire type 0", "SelectUser")


def test_a_name_is_taken_up_to_its_limit_only():
    for size, length in (
        (MAX_VALUE_BYTES, b"\x80\x80\x04"),
        (MAX_VALUE_BYTES + 1, b"\x81\x80\x04"),
    ):
        frame = framed(b"\x1a" + length + b"x" * size)
        for pieces in ([frame], bytewise(frame)):
            if size == MAX_VALUE_BYTES:
                assert scanned(SEARCH, pieces).names == ("x" * size,)
            else:
                with pytest.raises(InvalidParameterError, match="has 65537 bytes"):
                    scanned(SEARCH, pieces)


def test_names_are_taken_up_to_their_number_only():
    flush = need_of("Flush")
    names = field(3, b"a") * MAX_NAMES
    assert len(scanned(flush, [framed(names)]).names) == MAX_NAMES
    refused(names + field(3, b"a"), "more than 10000 names", "Flush", InvalidParameterError)


def test_names_are_taken_up_to_their_bytes_only():
    flush = need_of("Flush")
    name = field(3, b"x" * 2**13)
    names = name * (MAX_NAMES_BYTES // 2**13)
    assert len(scanned(flush, [framed(names)]).names) == MAX_NAMES_BYTES // 2**13
    with pytest.raises(InvalidParameterError, match="bytes of names"):
        scanned(flush, [framed(names + field(3, b"a"))])


def test_fields_are_read_up_to_their_number_only():
    scanner = RequestScanner(SEARCH, encoding=None, max_bytes=LIMIT)
    scanner.feed(framed(b"\x50\x00" * MAX_FIELDS)[:-2])
    with pytest.raises(TooManyFieldsError):
        scanner.feed(b"\x50\x00")


def test_fewer_fields_of_a_compressed_message_are_read():
    """A message of a few hundred bytes must not take half a second."""
    frames = [
        framed(compressed(b"\x50\x00" * count, b"gzip"), 1)
        for count in (MAX_INFLATED_FIELDS - 1, MAX_INFLATED_FIELDS)
    ]
    scanned(SEARCH, frames[:1], encoding=b"gzip")
    with pytest.raises(TooManyFieldsError, match=f"{MAX_INFLATED_FIELDS} fields"):
        scanned(SEARCH, frames[1:], encoding=b"gzip")


def test_fields_of_messages_on_the_path_count():
    """A message on the path counts as if it had nothing but the smallest fields."""
    size = 2**14 - 1
    user = field(2, field(6, bytes(size - 3)))
    frame = framed(user * (MAX_FIELDS // (size // 2) + 2))
    with pytest.raises(TooManyFieldsError):
        scanned(need_of("SelectUser"), [frame[:-1], frame[-1:]])
    scanned(need_of("SelectUser"), [framed(user * (MAX_FIELDS // (size // 2 + 1) - 1))])


# Frames.


def test_a_request_without_a_message_is_refused():
    for pieces in ([], [b""]):
        with pytest.raises(UnreadableRequestError, match="no message"):
            scanned(SEARCH, pieces)


@pytest.mark.parametrize("size", range(1, 11))
def test_a_request_that_is_cut_is_refused(size):
    frame = framed(field(3, b"docs"))
    for pieces in ([frame[:size]], bytewise(frame[:size])):
        with pytest.raises(UnreadableRequestError, match="ends in the middle of its message"):
            scanned(SEARCH, pieces)


@pytest.mark.parametrize("more", [b"\0", framed(b""), framed(field(3, b"other"))])
def test_a_second_message_is_refused(more):
    frame = framed(field(3, b"docs"))
    for pieces in ([frame + more], [frame, more], bytewise(frame + more)):
        with pytest.raises(UnreadableRequestError, match="more than one message"):
            scanned(SEARCH, pieces)


def test_nothing_after_the_message_is_fine():
    assert scanned(SEARCH, [framed(field(3, b"docs")), b"", b""]).names == ("docs",)
    assert scanned(SEARCH, [framed(b""), b""]).names == ("",)


@pytest.mark.parametrize("flag", [2, 0x80, 0xFF])
def test_another_flag_is_refused(flag):
    with pytest.raises(UnreadableRequestError, match=f"is {flag}, and must be 0 or 1"):
        scanned(SEARCH, [framed(b"", flag)], encoding=b"gzip")


def test_the_flag_without_an_encoding_is_refused():
    with pytest.raises(UnreadableRequestError, match="has no header grpc-encoding"):
        scanned(SEARCH, [framed(b"", 1)])


@pytest.mark.parametrize("encoding", [b"zstd", b"GZIP", b"gzip, deflate", b"", b"\xff\n" * 90])
def test_another_encoding_is_refused(encoding):
    with pytest.raises(UnsupportedEncodingError) as caught:
        scanned(SEARCH, [framed(b"", 1)], encoding=encoding)
    assert caught.value.status is Status.UNIMPLEMENTED
    assert len(caught.value.message) < 250
    assert caught.value.message.isprintable()


def test_a_message_over_the_limit_is_refused_at_its_prefix():
    assert scanned(SEARCH, [framed(field(3, b"docs"))], max_bytes=6).names == ("docs",)
    for flag in (0, 1):
        with pytest.raises(MessageTooLargeError, match="of 6 bytes is over the limit of 5"):
            scanned(SEARCH, [framed(field(3, b"docs"), flag)[:5]], encoding=b"gzip", max_bytes=5)


def test_a_message_that_inflates_to_more_than_the_limit_is_refused():
    message = field(3, b"docs") + field(6, bytes(8000))
    frame = framed(compressed(message, b"gzip"), 1)
    assert scanned(SEARCH, [frame], encoding=b"gzip", max_bytes=len(message)).names == ("docs",)
    with pytest.raises(VecguardError):
        scanned(SEARCH, [frame], encoding=b"gzip", max_bytes=len(message) - 1)


def test_an_incomplete_compressed_message_is_refused():
    whole = compressed(field(3, b"docs"), b"gzip")
    for sent in (b"", whole[:-1], whole[:5]):
        with pytest.raises(UnreadableRequestError, match="compressed request is cut off"):
            scanned(SEARCH, [framed(sent, 1)], encoding=b"gzip")


def test_errors_have_the_status_of_grpc():
    assert UnreadableRequestError.status is Status.INTERNAL
    assert InvalidParameterError.status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (framed(b""), True),
        (framed(b"x"), True),
        (framed(b"x")[:-1], False),
        (framed(b"x") + b"y", False),
        (framed(b"x", 1), False),
        (framed(b"x")[:4], False),
        (b"", False),
    ],
)
def test_a_request_is_whole_if_it_is_one_message_that_is_not_compressed(data, expected):
    assert is_whole(data) is expected
    assert is_whole(bytearray(data)) is expected


def as_found(need, data):
    found = fields_of_whole(need, data)
    return found.database, found.names, found.other_database, found.role


@pytest.mark.parametrize("vector", [b"v" * 127, b"v" * 128, b"v" * 700])
def test_requests_of_one_outline_differ_only_in_a_long_value_that_is_not_read(vector):
    request = milvus_pb2.SearchRequest(
        db_name="d", collection_name="c", dsl="w" * 128, placeholder_group=vector, nq=1
    )
    data = framed(request.SerializeToString())
    outline, found = Outline(SEARCH, data), as_found(SEARCH, data)
    fitting = set()
    for at in range(len(data)):
        for value in (data[at] ^ 1, data[at] ^ 8, 0, 255):
            other = data[:at] + bytes([value]) + data[at + 1 :]
            if other != data and outline.fits(other):
                assert as_found(SEARCH, other) == found
                fitting.add(at)
    longest = max(request.dsl.encode(), vector, key=len)
    start = data.index(longest)
    assert fitting == set(range(start, start + len(longest)))
    assert len(outline) == len(data) - len(longest)
    assert outline.fits(data)
    assert not outline.fits(data[:-1])
    assert not outline.fits(data + b"x")


def test_a_request_without_a_long_value_is_its_own_outline():
    data = framed(milvus_pb2.SearchRequest(collection_name="c" * 200).SerializeToString())
    outline = Outline(SEARCH, data)
    assert len(outline) == len(data)
    assert outline.fits(data)
    assert not outline.fits(data[:-1] + b"d")
