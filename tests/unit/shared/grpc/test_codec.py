"""What betterproto reads, but no service could work with."""

import pytest

from vecguard.errors import MalformedMessageError
from vecguard.generated.milvus.proto import milvus
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.codec import RequestCodec

VARINT, FIXED, TEXT, GROUP = 0, 5, 2, 3


def a_field(number, wire_type, content=b"\x01"):
    length = bytes((len(content),)) if wire_type == TEXT else b""
    return bytes((number << 3 | wire_type,)) + length + content


BAD = {
    "a number for a text": (milvus.DeleteCredentialRequest, a_field(2, VARINT)),
    "a text for a number": (internal.RehashCredentialRequest, a_field(2, TEXT)),
    "a group for a text": (milvus.DeleteCredentialRequest, a_field(2, GROUP, b"")),
    "a number for one of many": (internal.SyncRevisionsRequest, a_field(1, VARINT)),
    "a number for a text within": (
        internal.CreateCredentialRequest,
        a_field(2, TEXT, a_field(1, VARINT)),
    ),
    "a group for a text within": (
        internal.CreateCredentialRequest,
        a_field(2, TEXT, a_field(1, GROUP, b"")),
    ),
    "a number for a text twice within": (
        milvus.SelectGrantRequest,
        a_field(2, TEXT, a_field(1, TEXT, a_field(1, VARINT))),
    ),
    "no UTF-8": (milvus.DeleteCredentialRequest, a_field(2, TEXT, b"\xff")),
    "a length of nothing": (milvus.DeleteCredentialRequest, b"\x12"),
}


@pytest.mark.parametrize(("kind", "data"), BAD.values(), ids=BAD)
def test_a_field_of_another_type_is_refused_without_a_word_of_it(kind, data):
    with pytest.raises(MalformedMessageError) as caught:
        RequestCodec().decode(data, kind)
    assert caught.value.message == "the request is malformed"
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_what_is_left_out_or_unknown_is_no_fault():
    request = internal.UpdateCredentialRequest(username="alice")
    data = bytes(request) + a_field(15, TEXT, b"later")
    assert RequestCodec().decode(data, internal.UpdateCredentialRequest).username == "alice"
    assert RequestCodec().decode(b"", milvus.SelectGrantRequest) == milvus.SelectGrantRequest()
