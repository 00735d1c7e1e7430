import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import MalformedMessageError
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.grpc.codec import RequestCodec
from vecguard.grpc.raw_message import (
    RawMessage,
    encoded,
    fields,
    message,
    number_of,
    text,
    texts,
)
from vecguard.grpc.wire_check import check

SHAPE = {1: {1: 0}, 3: 1}


@given(st.text(max_size=300), st.integers(1, 5000))
def test_what_was_written_is_read(value, number):
    field = encoded(number, value)
    assert list(fields(field)) == ([(number, value.encode())] if value else [])


@given(st.text(max_size=300), st.text(max_size=300))
def test_betterproto_reads_what_was_written_and_writes_what_is_read(role, name):
    data = encoded(1, encoded(1, role)) + encoded(3, name)
    assert pb.GrantEntity.FromString(data) == pb.GrantEntity(
        role=pb.RoleEntity(name=role), object_name=name
    )
    written = bytes(pb.GrantEntity(role=pb.RoleEntity(name=role), object_name=name))
    assert texts(written, SHAPE, 2) == [role, name]


def test_an_empty_message_is_written_and_an_empty_text_is_not():
    assert encoded(1, b"") == b"\x0a\x00"
    assert encoded(1, "") == b""


def test_numbers_of_every_wire_type_are_read():
    data = b"\x08\x96\x01" + b"\x11" + (7).to_bytes(8, "little") + b"\x1d" + b"\x05\0\0\0"
    assert list(fields(data)) == [(1, 150), (2, 7), (3, 5)]


@given(st.binary(max_size=60))
def test_malformed_is_what_the_check_of_requests_takes_for_it(data):
    try:
        check(data, pb.BackupRbacMetaRequest, None)
        is_sound = True
    except MalformedMessageError:
        is_sound = False
    try:
        list(fields(data))
    except MalformedMessageError:
        assert not is_sound
    else:
        assert is_sound


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x02x",
        b"\x0a\xff",
        b"\x08",
        b"\x80",
        b"\x00\x01",
        b"\x0b",
        b"\x0d\x01",
        b"\x09",
    ],
)
def test_a_field_that_is_cut_off_or_has_no_number_or_is_a_group_is_malformed(data):
    with pytest.raises(MalformedMessageError):
        list(fields(data))


def test_a_value_of_another_kind_is_malformed():
    for read in (text, message):
        with pytest.raises(MalformedMessageError):
            read(7)
    for read in (text, number_of):
        with pytest.raises(MalformedMessageError):
            read(b"\xff")


def test_the_last_text_counts_and_parts_of_a_message_are_merged():
    data = encoded(1, encoded(1, "first")) + encoded(3, "x") + encoded(1, b"") + encoded(3, "y")
    assert texts(data, SHAPE, 2) == ["first", "y"]
    assert texts(data + encoded(1, encoded(1, "last")), SHAPE, 2) == ["last", "y"]
    assert texts(b"", SHAPE, 2) == ["", ""]


def test_codecs_pass_a_raw_message_on():
    codec = RequestCodec()
    raw = codec.decode(b"\xff\xff", RawMessage)
    assert (type(raw), raw) == (RawMessage, b"\xff\xff")
    assert codec.encode(raw, RawMessage) == b"\xff\xff"
