"""The calls that are measured: a Search of 1.2 KiB, and large inserts, into one collection."""

from pymilvus.grpc_gen import milvus_pb2 as milvus

_SERVICE = "/milvus.proto.milvus.MilvusService/"
SEARCH_PATH = f"{_SERVICE}Search"
INSERT_PATH = f"{_SERVICE}Insert"
#: The users of measured roles may search it and insert into it.
COLLECTION = "books"

# InsertRequest.fields_data.
_FIELDS_DATA = 0x2A


def search_request() -> bytes:
    """A search for one vector of 256 dimensions, as pymilvus writes it."""
    request = milvus.SearchRequest(
        db_name="default",
        collection_name=COLLECTION,
        dsl="year > 1900",
        placeholder_group=b"\x0a\x8d\x08\x0a\x02$0\x10\x65\x1a\x80\x08" + bytes(range(256)) * 4,
        dsl_type=1,
        output_fields=["title", "year"],
        nq=1,
    )
    for key, value in (
        *(("anns_field", "vector"), ("topk", "10"), ("metric_type", "COSINE")),
        *(("round_decimal", "-1"), ("ignore_growing", "False"), ("params", '{"nprobe":16}')),
    ):
        request.search_params.add(key=key, value=value)
    content: bytes = request.SerializeToString()
    return content


def insert_beginning(message_bytes: int) -> bytes:
    """The beginning of an insert of this length, up to the content of its one large field."""
    if not 2**22 < message_bytes < 2**28:
        raise ValueError("the length of the large field would not have four bytes")
    head: bytes = milvus.InsertRequest(
        db_name="default", collection_name=COLLECTION
    ).SerializeToString()
    left = message_bytes - len(head) - 1 - 4
    length = bytes((left >> shift & 0x7F) | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21))
    return head + bytes((_FIELDS_DATA,)) + length
