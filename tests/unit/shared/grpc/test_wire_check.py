"""What is found in the bytes of a request before betterproto reads them."""

from dataclasses import dataclass

import betterproto
import pytest

from vecguard.errors import MalformedMessageError, TooManyFieldsError
from vecguard.generated.grpc.health import v1 as health
from vecguard.generated.milvus.proto import common, milvus
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.codec import MAX_FIELDS, RequestCodec
from vecguard.grpc.wire_check import MAX_UNKNOWN_FIELDS, check

DELETE, SELECT, GRANT = (
    milvus.DeleteCredentialRequest,
    milvus.SelectUserRequest,
    milvus.SelectGrantRequest,
)
BOB = b"\x12\x03bob"
UNKNOWN = b"\x78\x00"


@dataclass(eq=False, repr=False)
class Numbers(betterproto.Message):
    small: list[int] = betterproto.uint32_field(1)  # noqa: RUF009 - betterproto's way
    fixed: list[int] = betterproto.fixed32_field(2)  # noqa: RUF009 - betterproto's way


def within(data, tag=0x12):
    """As the content of field 2."""
    assert len(data) < 0x80
    return bytes((tag, len(data))) + data


MALFORMED = {
    "a text of which two bytes are missing": (DELETE, b"\x12\x05bob"),
    "a length of 4 GiB": (DELETE, b"\x12\xff\xff\xff\xff\x0f"),
    "a tag that is cut": (health.HealthCheckRequest, b"\xff\xff"),
    "a length that is cut": (DELETE, b"\x12\x80"),
    "a field without a value": (DELETE, b"\x12"),
    "a number that is cut": (SELECT, b"\x18\x80"),
    "a number of eleven bytes": (SELECT, b"\x18" + b"\x80" * 10 + b"\x00"),
    "a number of 70 bits": (SELECT, b"\x18" + b"\xff" * 9 + b"\x7f"),
    "an unknown fixed number of 7 bytes": (DELETE, BOB + b"\x79" + bytes(7)),
    "an unknown fixed number of 3 bytes": (DELETE, BOB + b"\x7d" + bytes(3)),
    "an unknown text that is cut": (DELETE, BOB + b"\x7a\x02x"),
    "the field number 0": (DELETE, BOB + b"\x02\x01x"),
    "a field number of 30 bits": (DELETE, BOB + b"\x80\x80\x80\x80\x10\x00"),
    "the end of no group": (DELETE, BOB + b"\x7c"),
    "a group around the name": (DELETE, b"\x7b" + BOB + b"\x7c"),
    "the wire type 6": (DELETE, BOB + b"\x7e"),
    "the wire type 7": (DELETE, BOB + b"\x7f"),
    "a text that is cut within": (SELECT, within(b"\x0a\x05bob")),
    "a text that goes on around": (SELECT, within(b"\x0a\x05bob") + b"\x18\x01"),
    "a text that is cut twice within": (GRANT, within(within(b"\x0a\x05bob", tag=0x0A))),
    "many numbers in a field for one": (SELECT, b"\x1a\x02\x01\x01"),
    "a packed number that is cut": (Numbers, b"\x0a\x02\x01\x80"),
    "packed numbers of 5 bytes": (Numbers, b"\x12\x05" + bytes(5)),
    "an entry of a map that is cut": (common.Status, b"\x32\x03\x0a\x05k"),
}


@pytest.mark.parametrize(("kind", "data"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_cut_or_not_of_protobuf_is_refused_at_every_level(kind, data):
    with pytest.raises(MalformedMessageError) as caught:
        RequestCodec().decode(data, kind)
    assert caught.value.message == "the request is malformed"


WELL_FORMED = {
    "nothing": (DELETE, b""),
    "fields that a later version may add": (
        DELETE,
        BOB + b"\x78\x01" + b"\x79" + bytes(8) + b"\x7a\x01x" + b"\x7d" + bytes(4),
    ),
    "a length in more bytes than it needs": (DELETE, b"\x12\x83\x80\x00bob"),
    "a negative number": (SELECT, b"\x18" + b"\xff" * 9 + b"\x01"),
    "an empty message within": (SELECT, b"\x12\x00"),
    "numbers one by one": (Numbers, b"\x08\x01\x08\x02\x15" + bytes(4)),
    "packed numbers": (Numbers, b"\x0a\x03\x01\xac\x02\x12\x08" + bytes(8)),
    "a map": (common.Status, bytes(common.Status(extra_info={"k": "v"}))),
}


@pytest.mark.parametrize(("kind", "data"), WELL_FORMED.values(), ids=WELL_FORMED)
def test_what_protobuf_allows_is_no_fault(kind, data):
    assert RequestCodec().decode(data, kind) == kind().parse(data)


TOO_MANY = {
    "unknown ones": (SELECT, UNKNOWN),
    "messages": (SELECT, b"\x12\x00"),
    "unknown ones within": (GRANT, within(within(UNKNOWN * 50, tag=0x0A))),
}


@pytest.mark.parametrize(("kind", "piece"), TOO_MANY.values(), ids=TOO_MANY)
def test_more_fields_than_any_request_has_are_refused_before_they_are_read(kind, piece):
    with pytest.raises(TooManyFieldsError) as caught:
        # What follows the last field that is counted is not even looked at.
        RequestCodec().decode(piece * MAX_FIELDS + b"\x12\xff", kind)
    assert caught.value.message == f"a message has more than {MAX_FIELDS} fields"


def test_fields_are_counted_to_the_last_that_is_allowed():
    check(b"\x12\x02\x78\x00" * 3, SELECT, 6)
    with pytest.raises(TooManyFieldsError):
        check(b"\x12\x02\x78\x00" * 3 + UNKNOWN, SELECT, 6)


@pytest.mark.parametrize("packed", [b"\x0a\x03\x01\x01\x01", b"\x12\x0c" + bytes(12)])
def test_each_number_of_a_packed_field_counts(packed):
    check(packed, Numbers, 4)
    with pytest.raises(TooManyFieldsError):
        check(packed, Numbers, 3)


def test_without_a_bound_many_known_fields_are_read_and_few_unknown_ones_of_each_message():
    held = [internal.UserRevision(username=f"user{n}", revision=n + 1) for n in range(1000)]
    request = internal.SyncRevisionsRequest(held=held)
    codec = RequestCodec(max_fields=None)
    assert codec.decode(bytes(request), type(request)) == request
    later = within(UNKNOWN, tag=0x0A)  # a field that later versions may have in each of them
    assert len(codec.decode(later * 1000, type(request)).held) == 1000
    for piece in (UNKNOWN, later + UNKNOWN):
        codec.decode(piece * MAX_UNKNOWN_FIELDS, type(request))
        with pytest.raises(TooManyFieldsError):
            codec.decode(piece * (MAX_UNKNOWN_FIELDS + 1), type(request))
