from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import Status
from vecguard.proxy.relay.calls.call_counts import OTHER, CallCounts, status_code
from vecguard.proxy.relay.traffic import Traffic

METHOD = b"/milvus.proto.milvus.MilvusService/Search"


def counted(counts):
    return {(method, status.name): count for method, status, count in counts.counts()}


def test_a_method_has_a_row_once_it_was_answered_well():
    counts = CallCounts()
    counts.ended(METHOD, Status.NOT_FOUND.value)
    counts.ended(METHOD, Status.OK.value)
    counts.ended(METHOD, Status.NOT_FOUND.value)
    assert counted(counts) == {
        (OTHER, "NOT_FOUND"): 1,
        (METHOD.decode(), "OK"): 1,
        (METHOD.decode(), "NOT_FOUND"): 1,
    }


@given(st.lists(st.tuples(st.binary(max_size=4), st.sampled_from(Status))))
def test_every_call_is_counted_once_and_rows_are_bounded(calls):
    counts = CallCounts(max_methods=3)
    for method, status in calls:
        counts.ended(method, status.value)
    counts = list(counts.counts())
    assert sum(count for _, _, count in counts) == len(calls)
    assert len({method for method, _, _ in counts} - {OTHER}) <= 3
    # One series for each pair: Prometheus refuses a page that has one twice.
    assert len({(method, status) for method, status, _ in counts}) == len(counts)


def test_what_cannot_be_a_method_s_name_gets_no_row():
    counts = CallCounts()
    counts.ended(b"/" + b"x" * 10_000, Status.OK.value)
    counts.ended(b"/\xff/\xfe", Status.OK.value)
    assert counted(counts) == {(OTHER, "OK"): 2}


def test_what_is_no_status_counts_as_unknown():
    assert status_code(b"0") == Status.OK.value
    assert status_code(b"16") == Status.UNAUTHENTICATED.value
    for wire in (None, b"", b"17", b"-1", b"00", b"x"):
        assert status_code(wire) == Status.UNKNOWN.value


class Connection:
    def __init__(self, received, sent):
        self.bytes_received = received
        self.bytes_sent = sent


def test_bytes_of_closed_connections_stay_in_the_sum():
    traffic = Traffic()
    gone, there = Connection(1, 20), Connection(300, 4000)
    assert traffic.totals([gone, there]) == {"received": 301, "sent": 4020}
    traffic.closed(gone)
    assert traffic.totals([there]) == {"received": 301, "sent": 4020}
