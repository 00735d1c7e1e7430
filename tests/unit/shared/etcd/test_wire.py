"""The messages are those that betterproto writes and reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import MalformedMessageError
from vecguard.etcd.model import (
    Compare,
    Delete,
    DeleteResult,
    Event,
    Get,
    KeyValue,
    Put,
    PutResult,
    RangeResult,
    Subject,
)
from vecguard.etcd.wire import (
    RangeReply,
    ReplyHeader,
    TxnReply,
    WatchReply,
    event_of,
    key_value_of,
    range_request,
    txn_request,
)
from vecguard.generated import etcdserverpb as pb
from vecguard.generated import mvccpb

keys = st.binary(min_size=1, max_size=200)
numbers = st.integers(0, 2**63 - 1)
key_values = st.builds(KeyValue, keys, st.binary(max_size=300), numbers, numbers, numbers, numbers)
HEADER = pb.ResponseHeader(cluster_id=2**64 - 1, member_id=3, revision=9, raft_term=2)
READ_HEADER = ReplyHeader(2**64 - 1, 9)
SUBJECTS = {
    Subject.VERSION: (pb.CompareCompareTarget.VERSION, "version"),
    Subject.CREATE_REVISION: (pb.CompareCompareTarget.CREATE, "create_revision"),
    Subject.MOD_REVISION: (pb.CompareCompareTarget.MOD, "mod_revision"),
}
RESULTS = {
    "==": pb.CompareCompareResult.EQUAL,
    ">": pb.CompareCompareResult.GREATER,
    "<": pb.CompareCompareResult.LESS,
    "!=": pb.CompareCompareResult.NOT_EQUAL,
}


def message(kv: KeyValue) -> mvccpb.KeyValue:
    return mvccpb.KeyValue(
        key=kv.key,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        value=kv.value,
        lease=kv.lease,
    )


@given(key_values)
def test_a_key_is_read(kv):
    assert key_value_of(bytes(message(kv))) == kv


@given(st.lists(key_values, max_size=4), numbers, st.booleans())
def test_the_answer_to_a_read_is_read(kvs, count, more):
    data = bytes(
        pb.RangeResponse(header=HEADER, kvs=[message(kv) for kv in kvs], count=count, more=more)
    )
    reply = RangeReply.FromString(data)
    assert reply.header == READ_HEADER
    assert reply.result(7) == RangeResult(7, tuple(kvs), count, more)


@given(st.lists(key_values, max_size=4), numbers, st.booleans())
def test_the_answer_to_a_transaction_is_read(kvs, deleted, succeeded):
    found = pb.RangeResponse(header=HEADER, kvs=[message(kv) for kv in kvs])
    responses = [
        pb.ResponseOp(response_put=pb.PutResponse(header=HEADER)),
        pb.ResponseOp(response_range=found),
        pb.ResponseOp(response_delete_range=pb.DeleteRangeResponse(deleted=deleted)),
        pb.ResponseOp(response_put=pb.PutResponse()),
    ]
    data = bytes(pb.TxnResponse(header=HEADER, succeeded=succeeded, responses=responses))
    reply = TxnReply.FromString(data)
    assert (reply.header, reply.succeeded) == (READ_HEADER, succeeded)
    assert reply.results() == (
        PutResult(),
        RangeResult(9, tuple(kvs), 0, more=False),
        DeleteResult(deleted),
        PutResult(),
    )


@given(key_values, st.none() | key_values, st.booleans())
def test_events_are_read(kv, previous, is_deletion):
    kind = mvccpb.EventEventType.DELETE if is_deletion else mvccpb.EventEventType.PUT
    event = mvccpb.Event(type=kind, kv=message(kv))
    if previous is not None:
        event.prev_kv = message(previous)
    reply = WatchReply.FromString(
        bytes(pb.WatchResponse(header=HEADER, watch_id=4, fragment=True, events=[event, event]))
    )
    assert (reply.header, reply.fragment, reply.created) == (READ_HEADER, True, False)
    known = previous if previous is not None and previous.mod_revision else None
    expected = Event("delete" if is_deletion else "put", kv, known)
    assert [event_of(each) for each in reply.events] == [expected, expected]


def test_the_other_answers_of_a_watch_are_read():
    created = WatchReply.FromString(bytes(pb.WatchResponse(header=HEADER, created=True)))
    assert (created.created, created.events) == (True, [])
    ended = pb.WatchResponse(canceled=True, compact_revision=5, cancel_reason="why")
    reply = WatchReply.FromString(bytes(ended))
    assert (reply.canceled, reply.compact_revision, reply.cancel_reason) == (True, 5, "why")


options_of_reads = st.fixed_dictionaries(
    {"limit": numbers, "revision": numbers, "keys_only": st.booleans(), "count_only": st.booleans()}
)


@given(keys, st.binary(max_size=9), options_of_reads)
def test_a_read_is_written(first, end, options):
    assert range_request(first, end, **options) == bytes(
        pb.RangeRequest(key=first, range_end=end, **options)
    )


@given(keys, numbers, st.sampled_from(Subject), st.sampled_from(list(RESULTS)), st.booleans())
def test_a_condition_is_written(key, operand, subject, operator, prefix):
    target, field = SUBJECTS[subject]
    expected = pb.Compare(result=RESULTS[operator], target=target, key=key, **{field: operand})
    if prefix:
        expected.range_end = pb_end(key)
    written = pb.TxnRequest().parse(
        txn_request([Compare(key, subject, operator, operand, prefix)], [], [])
    )
    assert written == pb.TxnRequest(compare=[expected])


@given(keys, st.binary(max_size=300), numbers, numbers)
def test_operations_are_written(key, value, number, revision):
    put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=number))
    one = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
    many = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=pb_end(key)))
    get = pb.RequestOp(
        request_range=pb.RangeRequest(
            key=key, range_end=pb_end(key), limit=number, revision=revision, keys_only=True
        )
    )
    success = [Put(key, value, number), Delete(key), Delete(key, prefix=True)]
    failure = [Get(key, prefix=True, limit=number, keys_only=True, revision=revision)]
    written = pb.TxnRequest().parse(txn_request([], success, failure))
    assert written == pb.TxnRequest(success=[put, one, many], failure=[get])


def pb_end(key: bytes) -> bytes:
    stem = key.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


@pytest.mark.parametrize("reader", [RangeReply.FromString, TxnReply.FromString, key_value_of])
def test_what_is_cut_off_is_malformed(reader):
    with pytest.raises(MalformedMessageError):
        reader(b"\x0a\x05abc")
