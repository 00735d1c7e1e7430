from hypothesis import given
from hypothesis import strategies as st

from services.proxy.relay.active import ActiveCalls
from shared.errors import VecguardError

REASON = VecguardError("revoked")


class RecordingCall:
    def __init__(self, *, is_carried_through=False):
        self.reasons = []
        self.is_carried_through = is_carried_through

    def end(self, reason):
        self.reasons.append(reason)

    def revoke(self, reason):
        if self.is_carried_through:
            return False
        self.end(reason)
        return True


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
        active.enter(call)
        active.identify(call, name, admitted)
        entered.append((call, name, admitted))
    active.end_older(username, revision, REASON)
    for call, name, admitted in entered:
        assert call.reasons == ([REASON] if name == username and admitted < revision else [])
    for call, _, _ in entered:
        active.leave(call)
    assert len(active) == 0
    assert active._by_user == {}


def test_a_call_that_is_not_identified_is_ended_only_with_all():
    active, call = ActiveCalls(), RecordingCall()
    active.enter(call)
    active.end_older("alice", 99, REASON)
    assert call.reasons == []
    active.end_all(REASON)
    assert call.reasons == [REASON]


def test_a_call_that_is_over_is_forgotten():
    active, call = ActiveCalls(), RecordingCall()
    active.enter(call)
    active.identify(call, "alice", 1)
    active.leave(call)
    active.end_older("alice", 2, REASON)
    assert call.reasons == []


def test_a_call_that_is_carried_through_is_not_counted_as_ended():
    active = ActiveCalls()
    for is_carried_through in (True, False):
        call = RecordingCall(is_carried_through=is_carried_through)
        active.enter(call)
        active.identify(call, "alice", 1)
    assert active.end_older("alice", 2, REASON) == 1
