import asyncio

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import ProtocolError as H2ProtocolError

from vecguard.errors import DeadlineError, OverloadedError, UnavailableError, VecguardError
from vecguard.etcd.channel import Progress, attempt
from vecguard.etcd.failure import AttemptError
from vecguard.grpc.channel import translated_errors


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (GRPCError(Status.UNAVAILABLE, "gone"), UnavailableError, "the peer: gone"),
        (GRPCError(Status.DEADLINE_EXCEEDED, "late"), DeadlineError, "the peer: late"),
        (GRPCError(Status.RESOURCE_EXHAUSTED, "full"), OverloadedError, "the peer: full"),
        (GRPCError(Status.ABORTED, "no"), VecguardError, "the peer: no"),
        (GRPCError(Status.ABORTED), VecguardError, "the peer: ABORTED"),
        (TimeoutError(), DeadlineError, "the peer did not answer in time"),
        (ConnectionResetError("reset"), UnavailableError, "the peer cannot be reached: reset"),
        (OSError(), UnavailableError, "the peer cannot be reached: OSError"),
        (StreamTerminatedError("cut"), UnavailableError, "the peer cannot be reached: cut"),
        (H2ProtocolError("odd"), UnavailableError, "the peer cannot be reached: odd"),
        (ProtocolError("odd"), UnavailableError, "the peer cannot be reached: odd"),
    ],
    ids=repr,
)
def test_every_failure_is_one_of_ours(raised, kind, text):
    with pytest.raises(VecguardError) as caught, translated_errors("the peer"):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.message == text
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [asyncio.CancelledError(), KeyError("a bug"), SystemExit(1)])
def test_what_is_no_failure_of_the_peer_passes(raised):
    with pytest.raises(type(raised)) as caught, translated_errors("the peer"):
        raise raised
    assert caught.value is raised


@pytest.mark.parametrize(
    ("raised", "status", "text"),
    [
        (GRPCError(Status.UNAVAILABLE, "no leader"), Status.UNAVAILABLE, "no leader"),
        (GRPCError(Status.ABORTED), Status.ABORTED, "ABORTED"),
        (TimeoutError(), None, "no answer in time"),
        (ConnectionResetError("reset"), None, "reset"),
        (H2ProtocolError(), None, "ProtocolError"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("sent", [False, True])
def test_every_failure_at_etcd_is_an_attempt_that_failed(raised, status, text, sent):
    progress = Progress()

    def fail():
        progress.sent = sent
        raise raised

    with pytest.raises(AttemptError) as caught, attempt(progress):
        fail()
    assert (caught.value.status, caught.value.text, caught.value.sent) == (status, text, sent)
    assert caught.value.__cause__ is raised
