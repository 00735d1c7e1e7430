import pytest
from grpclib.const import Status

from vecguard.etcd.failure import AttemptError, Verdict, judge


@pytest.mark.parametrize(
    ("status", "text", "verdict"),
    [
        (None, "Connection lost", Verdict.UNKNOWN),
        (Status.UNAVAILABLE, "etcdserver: request timed out", Verdict.UNKNOWN),
        (Status.UNAVAILABLE, "etcdserver: server stopped", Verdict.UNKNOWN),
        (Status.UNKNOWN, "anything", Verdict.UNKNOWN),
        (Status.UNAVAILABLE, "etcdserver: no leader", Verdict.NOT_PROCESSED),
        (Status.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Verdict.NOT_PROCESSED),
        (Status.UNAUTHENTICATED, "etcdserver: invalid auth token", Verdict.TOKEN_REFUSED),
        (Status.INVALID_ARGUMENT, "etcdserver: user name is empty", Verdict.TOKEN_REFUSED),
        (Status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", Verdict.FINAL),
        (Status.PERMISSION_DENIED, "etcdserver: permission denied", Verdict.FINAL),
        (Status.DATA_LOSS, "etcdserver: corrupt cluster", Verdict.FINAL),
        (Status.DATA_LOSS, "anything else", Verdict.UNKNOWN),
    ],
)
def test_a_failure_of_a_sent_request_is_judged_by_what_etcd_says(status, text, verdict):
    assert judge(AttemptError(text, status=status, sent=True)) is verdict


def test_a_request_that_was_not_sent_was_not_processed():
    assert judge(AttemptError("refused", sent=False)) is Verdict.NOT_PROCESSED
