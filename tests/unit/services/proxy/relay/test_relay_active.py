from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.relay.active import ActiveCalls
from shared.errors import VecguardError

REASON = VecguardError("revoked")


class RecordingCall:
    def __init__(self):
        self.reasons = []

    def end(self, reason):
        self.reasons.append(reason)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5))),
    st.sampled_from("abc"),
    st.integers(0, 6),
)
def test_exactly_the_older_calls_of_the_user_are_ended(calls, username, revision):
    active = ActiveCalls()
    entered = []
    for name, admitted in calls:
        call = RecordingCall()
        context = active.entered(call)
        context.__enter__()
        active.identify(call, name, admitted)
        entered.append((call, name, admitted, context))
    active.end_older(username, revision, REASON)
    for call, name, admitted, _ in entered:
        assert call.reasons == ([REASON] if name == username and admitted < revision else [])
    for *_, context in entered:
        context.__exit__(None, None, None)
    assert len(active) == 0
    assert active._by_user == {}


def test_a_call_that_is_not_identified_is_ended_only_with_all():
    active, call = ActiveCalls(), RecordingCall()
    with active.entered(call):
        active.end_older("alice", 99, REASON)
        assert call.reasons == []
        active.end_all(REASON)
        assert call.reasons == [REASON]


def test_a_call_that_fails_is_forgotten():
    active, call = ActiveCalls(), RecordingCall()
    with suppress(RuntimeError), active.entered(call):
        active.identify(call, "alice", 1)
        raise RuntimeError
    active.end_older("alice", 2, REASON)
    assert call.reasons == []
