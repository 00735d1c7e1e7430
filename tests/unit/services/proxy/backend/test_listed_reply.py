"""Lists without the names that a user may not see: whatever is parallel to them goes as well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymilvus.grpc_gen import common_pb2 as common
from pymilvus.grpc_gen import milvus_pb2 as milvus

from vecguard.errors import MalformedMessageError
from vecguard.grpc.raw_message import encoded
from vecguard.proxy.backend.listed_reply import COLLECTIONS, DATABASES, only

ARRAYS = ("collection_ids", "created_timestamps", "created_utc_timestamps",
          "inMemory_percentages", "query_service_available", "shards_num")  # fmt: skip
UNKNOWN = encoded(99, b"later") + b"\xa5\x06\x01\x02\x03\x04"  # a text and a fixed32


def reply(names, **changes):
    count = len(names)
    arrays = {
        "collection_ids": [-index for index in range(count)],
        "created_timestamps": [2**60 + index for index in range(count)],
        "created_utc_timestamps": [200 * index for index in range(count)],
        "inMemory_percentages": [100 - index for index in range(count)],
        "query_service_available": [index % 2 == 0 for index in range(count)],
        "shards_num": [1 + index for index in range(count)],
    }
    return milvus.ShowCollectionsResponse(
        status=common.Status(code=0, reason="ok"), collection_names=names, **(arrays | changes)
    )


def rows(message, arrays=ARRAYS):
    columns = [list(getattr(message, array)) for array in arrays]
    return list(zip(message.collection_names, *columns, strict=True))


async def filtered(message, visible, layout=COLLECTIONS):
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return await only(data, layout, visible)


async def test_every_array_loses_what_the_names_lose():
    message = reply(["a", "b", "c", "d"])
    found = milvus.ShowCollectionsResponse.FromString(await filtered(message, {"b", "d"}))
    assert rows(found) == [row for row in rows(message) if row[0] in ("b", "d")]
    assert found.status == message.status


@given(
    st.lists(st.tuples(st.text(max_size=5), st.integers(-(2**63), 2**63 - 1)), max_size=8),
    st.sets(st.text(max_size=5)),
    st.data(),
)
async def test_what_stays_is_what_google_s_protobuf_would_leave(pairs, others, data):
    names = [name for name, _ in pairs]
    visible = others | set(data.draw(st.lists(st.sampled_from(names)))) if names else others
    message = reply(names, collection_ids=[number for _, number in pairs])
    found = milvus.ShowCollectionsResponse.FromString(await filtered(message, visible))
    assert rows(found) == [row for row in rows(message) if row[0] in visible]


async def test_unknown_fields_go():
    """One of them could be a further array with hidden objects."""
    whole = reply(["a", "b"]).SerializeToString()
    assert await filtered(UNKNOWN[:8] + whole + UNKNOWN[8:], {"a", "b"}) == whole


async def test_an_array_of_another_length_is_left_out_and_an_absent_one_stays_absent():
    message = reply(
        ["a", "b", "c"],
        shards_num=[7, 8],
        inMemory_percentages=[1, 2, 3, 4],
        created_timestamps=[],
    )
    found = milvus.ShowCollectionsResponse.FromString(await filtered(message, {"c"}))
    assert list(found.collection_names) == ["c"]
    assert list(found.collection_ids) == [-2]
    assert not found.shards_num
    assert not found.inMemory_percentages
    assert not found.created_timestamps


async def test_numbers_that_are_not_packed_are_read_as_well():
    numbers = b"".join(b"\x18" + bytes((number,)) for number in (5, 6))
    data = encoded(2, "a") + numbers + encoded(2, "b")
    found = milvus.ShowCollectionsResponse.FromString(await filtered(data, {"b"}))
    assert list(found.collection_ids) == [6]


async def test_an_error_passes_unchanged():
    status = common.Status(error_code=common.UnexpectedError, code=65535, reason="no")
    data = milvus.ShowCollectionsResponse(status=status).SerializeToString()
    assert await filtered(data, set()) == data


async def test_databases_lose_their_arrays_as_well():
    message = milvus.ListDatabasesResponse(
        db_names=["default", "a"], created_timestamp=[1, 2], db_ids=[3, 4]
    )
    found = milvus.ListDatabasesResponse.FromString(await filtered(message, {"a"}, DATABASES))
    assert found == milvus.ListDatabasesResponse(db_names=["a"], created_timestamp=[2], db_ids=[4])


async def test_a_long_list_is_read_whole():
    names = [f"c{number}" for number in range(3_000)]
    found = milvus.ShowCollectionsResponse.FromString(
        await filtered(reply(names), set(names[1::2]))
    )
    assert rows(found) == rows(reply(names))[1::2]


@pytest.mark.parametrize(
    "data",
    [
        b"\x12\x05abc",  # a name that is cut off
        b"\x12\x01\xff",  # no UTF-8
        b"\x10\x01",  # a name that is a number
        b"\x1a\x02\x80\x80",  # numbers that do not end
        b"\x1a\x0b" + b"\x80" * 10 + b"\x01",  # a number of eleven bytes
        b"\x1d\x01\x02\x03\x04",  # numbers of fixed size
        b"\x0b\x0c",  # a group
        b"\x02\x00",  # the number 0
        b"\x08",  # no value
        b"\xff\xff\xff\xff\x7f\x00",  # a tag that is too large
        b"\x09\x01",  # a fixed64 that is cut off
    ],
    ids=repr,
)
async def test_a_reply_that_cannot_be_read_is_an_error(data):
    with pytest.raises(MalformedMessageError):
        await filtered(encoded(2, "a") + data, {"a"})
