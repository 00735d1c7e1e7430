from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_calls import FakeCall, FakeClient
from vecguard.errors import VecguardError
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.proxy.relay.calls.open_calls import OpenCalls

REASON = VecguardError("revoked")


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 1))),
    st.frozensets(st.sampled_from("abc")),
    st.integers(0, 6),
)
def test_exactly_the_older_calls_of_the_users_are_ended(calls, usernames, revision):
    active = OpenCalls()
    clients = [FakeClient(), FakeClient()]
    for client in clients:
        active.enter(client)
    for name, admitted, place in calls:
        clients[place].open.append(FakeCall(clients[place], Principal(name, admitted)))
    everything = [call for client in clients for call in client.open]
    assert len(active) == len(everything)
    assert Counter(active.users()) == Counter(call.principal for call in everything)
    ended = active.end_older(usernames, revision, REASON)
    older = [
        call
        for call in everything
        if call.principal.username in usernames and call.principal.revision < revision
    ]
    assert ended == len(older)
    for call in everything:
        assert call.reasons == ([REASON] if call in older else [])
    assert len(active) == len(everything) - ended


@pytest.mark.parametrize("principal", [None, ANONYMOUS])
def test_a_call_without_a_user_is_ended_only_with_all(principal):
    active, client = OpenCalls(), FakeClient()
    active.enter(client)
    client.open.append(call := FakeCall(client, principal))
    assert list(active.users()) == []
    assert active.end_older(frozenset({"alice"}), 99, REASON) == 0
    assert active.end_identified(REASON) == 0
    assert call.reasons == []
    active.end_all(REASON)
    assert call.reasons == [REASON]


def test_a_client_that_is_gone_is_forgotten():
    active, client = OpenCalls(), FakeClient()
    active.enter(client)
    client.open.append(call := FakeCall(client, Principal("alice", 1)))
    active.leave(client)
    assert active.end_older(frozenset({"alice"}), 2, REASON) == 0
    assert call.reasons == []
    assert len(active) == 0


def test_a_call_that_is_carried_through_is_not_counted_as_ended():
    active, client = OpenCalls(), FakeClient()
    active.enter(client)
    for is_carried_through in (True, False):
        client.open.append(
            FakeCall(client, Principal("alice", 1), is_carried_through=is_carried_through)
        )
    assert active.end_older(frozenset({"alice"}), 2, REASON) == 1


def test_clients_that_have_shown_no_login_of_the_user_are_not_looked_at():
    class Passed(FakeClient):
        def calls(self):
            raise AssertionError("a client with many calls costs every revocation")

    active, client = OpenCalls(), Passed()
    active.enter(client)
    client.open.append(FakeCall(client, Principal("bob", 1)))
    assert active.end_older(frozenset({"alice"}), 2, REASON) == 0
