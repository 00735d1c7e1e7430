import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vecguard.errors import UnavailableError
from vecguard.root_coord.session_state import (
    Awaited,
    FullInvalidation,
    Invalidation,
    SessionState,
    SessionView,
    Surrender,
)

TTL = 10.0
CHANGE = Invalidation("bob", 7)


@pytest.fixture
def sessions():
    return SessionState(TTL)


def leased(sessions, *proxies, now=0.0):
    for proxy in proxies:
        sessions.open(proxy)
        assert sessions.renew(proxy, now)


def notify(sessions, now, content=CHANGE):
    notice, connected = sessions.notify(content, now)
    return notice.sequence, connected


def test_without_sessions_a_change_is_settled_at_once(sessions):
    sequence, connected = notify(sessions, 0.0)
    assert sessions.is_settled(sequence)
    assert connected == ()


def test_a_change_waits_for_every_session_with_a_lease(sessions):
    leased(sessions, "a", "b")
    sequence, connected = notify(sessions, 1.0)
    assert set(connected) == {"a", "b"}
    assert sessions.acknowledge("a", sequence) == []
    assert not sessions.is_settled(sequence)
    assert sessions.acknowledge("b", sequence) == [sequence]
    assert sessions.is_settled(sequence)


def test_leases_are_counted_that_run_and_belong_to_a_session():
    sessions = SessionState(TTL, predecessor_until=100.0)
    leased(sessions, "a", now=0.0)
    leased(sessions, "b", now=5.0)
    sessions.open("c")
    assert [sessions.leases(now) for now in (6.0, TTL, 5.0 + TTL)] == [2, 1, 0]


def test_the_same_acknowledgement_twice_counts_once(sessions):
    leased(sessions, "a", "b")
    sequence, _ = notify(sessions, 1.0)
    for _ in range(3):
        assert sessions.acknowledge("a", sequence) == []
    assert not sessions.is_settled(sequence)


def test_an_acknowledgement_covers_all_that_came_before(sessions):
    leased(sessions, "a")
    sequences = [notify(sessions, 0.1)[0] for _ in range(3)]
    assert sessions.acknowledge("a", sequences[1]) == sequences[:2]
    assert not sessions.is_settled(sequences[2])


@pytest.mark.parametrize("sequence", [0, -1])
def test_an_acknowledgement_of_nothing_settles_nothing(sessions, sequence):
    leased(sessions, "a")
    mine, _ = notify(sessions, 0.1)
    assert sessions.acknowledge("a", sequence) == []
    assert not sessions.is_settled(mine)


def test_an_acknowledgement_of_an_unknown_process_settles_nothing(sessions):
    leased(sessions, "a")
    sequence, _ = notify(sessions, 0.1)
    assert sessions.acknowledge("stranger", sequence) == []
    assert not sessions.is_settled(sequence)


def test_a_session_that_never_had_a_lease_is_told_and_not_awaited(sessions):
    sessions.open("a")
    sequence, connected = notify(sessions, 0.0)
    assert connected == ("a",)
    assert sessions.is_settled(sequence)


def test_a_lease_that_runs_out_settles_and_not_a_moment_before(sessions):
    leased(sessions, "a", now=0.0)
    sequence, _ = notify(sessions, 1.0)
    assert sessions.next_expiry() == TTL
    assert sessions.expire(TTL - 0.001) == []
    assert not sessions.is_settled(sequence)
    assert sessions.expire(TTL) == [sequence]
    assert sessions.is_settled(sequence)
    assert sessions.next_expiry() is None


def test_a_broken_stream_still_counts_until_its_lease_has_run_out(sessions):
    leased(sessions, "a", now=0.0)
    assert sessions.disconnect("a") == []
    sequence, connected = notify(sessions, 1.0)
    assert connected == ()
    assert not sessions.is_settled(sequence)
    assert sessions.expire(TTL) == [sequence]


def test_a_stream_that_breaks_before_its_acknowledgement_settles_nothing(sessions):
    leased(sessions, "a")
    sequence, _ = notify(sessions, 1.0)
    assert sessions.disconnect("a") == []
    assert not sessions.is_settled(sequence)


def test_a_session_without_a_lease_ends_with_its_stream(sessions):
    sessions.open("a")
    sessions.disconnect("a")
    with pytest.raises(UnavailableError):
        sessions.renew("a", 0.0)


def test_a_new_stream_takes_over_what_is_unacknowledged_in_order(sessions):
    leased(sessions, "a")
    sequences = [notify(sessions, 0.1, Invalidation("bob", number))[0] for number in range(5)]
    sessions.acknowledge("a", sequences[1])
    sessions.disconnect("a")
    sequences.append(notify(sessions, 0.2, Invalidation("bob", 9))[0])
    taken_over = sessions.open("a")
    assert [notice.sequence for notice in taken_over] == sequences[2:]
    assert [notice.content.revision for notice in taken_over] == [2, 3, 4, 9]
    assert sessions.acknowledge("a", sequences[-1]) == sequences[2:]


def test_a_stream_opened_beside_an_older_one_takes_over_too(sessions):
    leased(sessions, "a")
    sequence, _ = notify(sessions, 0.1)
    assert [notice.sequence for notice in sessions.open("a")] == [sequence]
    assert not sessions.is_settled(sequence)


def test_after_its_lease_ran_out_a_new_stream_starts_afresh(sessions):
    leased(sessions, "a")
    notify(sessions, 0.1)
    sessions.disconnect("a")
    sessions.expire(TTL)
    assert sessions.open("a") == []


def test_a_connected_session_whose_lease_ran_out_can_renew(sessions):
    leased(sessions, "a", now=0.0)
    sequence, _ = notify(sessions, 1.0)
    assert sessions.expire(TTL) == [sequence]
    assert sessions.renew("a", TTL + 1)
    sequence, _ = notify(sessions, TTL + 2)
    assert not sessions.is_settled(sequence)


def test_a_lease_that_is_over_is_not_awaited_even_if_nobody_has_looked(sessions):
    leased(sessions, "a", now=0.0)
    sequence, connected = notify(sessions, TTL)
    assert sessions.is_settled(sequence)
    assert connected == ("a",)


def test_renewals_prolong_the_wait_for_a_session_that_answers(sessions):
    leased(sessions, "a", now=0.0)
    assert sessions.renew("a", 5.0)
    sequence, _ = notify(sessions, 6.0)
    assert sessions.expire(TTL) == []
    assert not sessions.is_settled(sequence)
    assert sessions.expire(15.0) == [sequence]


def test_a_session_that_renews_and_never_acknowledges_delays_nobody_for_ever(sessions):
    """Its renewals reach us and our notices do not reach it: it is cut off all the same."""
    leased(sessions, "a", now=0.0)
    sequence, _ = notify(sessions, 0.1)
    now = 0.1
    while not sessions.is_settled(sequence):
        now += 0.2
        sessions.renew("a", now)
        sessions.expire(now)
        assert now < 0.1 + PATIENCE + TTL + 0.5
    assert sessions.renew("a", now)


def test_a_notice_that_is_on_its_way_does_not_cost_the_lease(sessions):
    leased(sessions, "a", now=0.0)
    notify(sessions, 5.0)
    assert sessions.renew("a", 5.1)


def test_a_long_round_trip_costs_no_lease_while_changes_follow_each_other(sessions):
    """There is always a notice on its way, and its proxy hears every one of them."""
    leased(sessions, "a", now=0.0)
    round_trip = 0.9
    on_their_way = []
    for step in range(1, 300):
        now = step / 10
        on_their_way.append((now + round_trip, notify(sessions, now)[0]))
        while on_their_way[0][0] <= now:
            sessions.acknowledge("a", on_their_way.pop(0)[1])
        assert sessions.renew("a", now)


@pytest.mark.parametrize(("ttl", "patience"), [(1.0, 0.5), (3.75, 0.75), (60.0, 1.0)])
def test_how_long_an_acknowledgement_may_take_depends_on_the_lease(ttl, patience):
    sessions = SessionState(ttl)
    leased(sessions, "a", now=0.0)
    notify(sessions, 0.25)
    assert sessions.renew("a", 0.25 + patience)
    assert not sessions.renew("a", 0.375 + patience)


def test_a_late_acknowledgement_brings_the_renewals_back(sessions):
    leased(sessions, "a", now=0.0)
    sequence, _ = notify(sessions, 0.0)
    assert not sessions.renew("a", 5.0)
    sessions.acknowledge("a", sequence)
    assert sessions.renew("a", 5.0)


def test_next_expiry_is_that_of_the_first_awaited_lease(sessions):
    leased(sessions, "a", now=0.0)
    leased(sessions, "b", now=3.0)
    leased(sessions, "c", now=1.0)
    sequence, _ = notify(sessions, 4.0)
    sessions.acknowledge("a", sequence)
    assert sessions.next_expiry() == 1.0 + TTL


def test_nobody_expires_whom_nobody_waits_for(sessions):
    leased(sessions, "a", now=0.0)
    assert sessions.next_expiry() is None


def test_those_who_are_awaited_are_named(sessions):
    leased(sessions, "a", "b", "c")
    first, _ = notify(sessions, 0.1)
    sessions.acknowledge("a", first)
    sessions.acknowledge("c", first)
    second, _ = notify(sessions, 0.2)
    sessions.acknowledge("a", second)
    assert sessions.awaited([first], 1.0).proxies == ("b",)
    assert sessions.awaited([first, second], 1.0).proxies == ("b", "c")
    assert not sessions.awaited([first], 1.0).earlier_leases
    sessions.release("b")
    assert sessions.awaited([first], 1.0) is None
    assert sessions.awaited([], 1.0) is None


def test_how_long_somebody_is_awaited_at_most_counts_the_renewals_that_are_still_granted(sessions):
    leased(sessions, "a", now=0.0)
    sequence, _ = notify(sessions, 1.0)
    assert sessions.awaited([sequence], 1.5).seconds_at_most == pytest.approx(0.5 + TTL)
    assert sessions.renew("a", 1.75)
    assert sessions.awaited([sequence], 3.5).seconds_at_most == pytest.approx(TTL - 1.75)


def test_leases_of_a_predecessor_are_named_as_such():
    sessions = SessionState(TTL, predecessor_until=12.0)
    assert sessions.earlier_leases_until == 12.0
    leased(sessions, "a", now=2.0)
    sequence, _ = notify(sessions, 2.0)
    sessions.acknowledge("a", sequence)
    assert sessions.awaited([sequence], 4.0) == Awaited(
        (), earlier_leases=True, seconds_at_most=8.0
    )
    sessions.expire(12.0)
    assert sessions.earlier_leases_until is None


def test_the_number_of_sessions_counts_open_streams(sessions):
    leased(sessions, "a", "b")
    assert len(sessions) == 2
    sessions.disconnect("a")
    assert len(sessions) == 1


def test_a_process_that_stops_in_good_order_is_not_awaited(sessions):
    leased(sessions, "a", "b")
    sequence, _ = notify(sessions, 0.1)
    assert sessions.release("a") == []
    assert sessions.release("b") == [sequence]
    assert sessions.is_settled(notify(sessions, 0.2)[0])
    assert sessions.release("stranger") == []


def test_leases_of_a_predecessor_are_waited_out(sessions):
    sessions = SessionState(TTL, predecessor_until=12.0)
    assert len(sessions) == 0
    sequence, connected = notify(sessions, 1.0)
    assert connected == ()
    assert sessions.next_expiry() == 12.0
    assert sessions.expire(11.9) == []
    assert sessions.expire(12.0) == [sequence]
    assert sessions.is_settled(notify(sessions, 12.0)[0])


def test_a_surrendered_lease_is_not_awaited_once_that_is_acknowledged(sessions):
    leased(sessions, "a")
    surrender, _ = notify(sessions, 0.1, Surrender())
    assert not sessions.is_settled(surrender)
    assert sessions.acknowledge("a", surrender) == [surrender]
    assert sessions.is_settled(notify(sessions, 0.2)[0])


def test_a_surrendered_lease_settles_what_came_after_the_surrender_too(sessions):
    """Otherwise it would be awaited for ever: a session without a lease never expires."""
    leased(sessions, "a")
    surrender, _ = notify(sessions, 0.1, Surrender())
    later, _ = notify(sessions, 0.2)
    assert sessions.acknowledge("a", surrender) == [surrender, later]
    assert sessions.is_settled(later)
    assert sessions.next_expiry() is None


def test_everything_can_be_revoked_like_one_user(sessions):
    leased(sessions, "a")
    sequence, connected = notify(sessions, 0.1, FullInvalidation())
    assert connected == ("a",)
    assert not sessions.is_settled(sequence)


PROXIES = st.sampled_from(["a", "b", "c"])
# A fifth of the lease.
PATIENCE = 1.0
TINY = 1e-9


class SessionsMachine(RuleBasedStateMachine):
    """The session state beside a model of what is promised.

    A notice is settled if and only if every session that had a valid lease when it was
    made has acknowledged it, has stopped, or has had no valid lease at some moment since.
    """

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.sessions = SessionState(TTL)
        self.lease_until = {}
        self.connected = set()
        self.awaited = {}
        self.made_at = {}
        self.reported = set()

    def settled(self, sequences):
        """Each settled notice is reported once, at the moment of its settling."""
        assert self.reported.isdisjoint(sequences)
        self.reported |= set(sequences)

    def drop(self, proxy):
        self.lease_until.pop(proxy, None)
        for awaited in self.awaited.values():
            awaited.discard(proxy)

    @rule(proxy=PROXIES)
    def open(self, proxy):
        pending = self.sessions.open(proxy)
        self.connected.add(proxy)
        assert [notice.sequence for notice in pending] == sorted(
            sequence for sequence, awaited in self.awaited.items() if proxy in awaited
        )

    @precondition(lambda self: self.connected)
    @rule(data=st.data())
    def renew(self, data):
        proxy = data.draw(st.sampled_from(sorted(self.connected)))
        waiting_since = min(
            (self.made_at[each] for each, awaited in self.awaited.items() if proxy in awaited),
            default=self.now,
        )
        granted = self.sessions.renew(proxy, self.now)
        assert granted == (self.now <= waiting_since + PATIENCE)
        if granted:
            self.lease_until[proxy] = self.now + TTL

    @rule(content=st.sampled_from([CHANGE, FullInvalidation()]))
    def notify(self, content):
        notice, connected = self.sessions.notify(content, self.now)
        assert set(connected) == self.connected
        self.made_at[notice.sequence] = self.now
        self.awaited[notice.sequence] = {
            proxy for proxy, until in self.lease_until.items() if until > self.now
        }
        if not self.awaited[notice.sequence]:
            self.reported.add(notice.sequence)

    @precondition(lambda self: self.awaited)
    @rule(proxy=PROXIES, data=st.data())
    def acknowledge(self, proxy, data):
        sequence = data.draw(st.sampled_from(sorted(self.awaited)))
        self.settled(self.sessions.acknowledge(proxy, sequence))
        for earlier, awaited in self.awaited.items():
            if earlier <= sequence:
                awaited.discard(proxy)

    @precondition(lambda self: self.connected)
    @rule(data=st.data(), releases=st.booleans())
    def the_stream_ends(self, data, releases):
        proxy = data.draw(st.sampled_from(sorted(self.connected)))
        if releases:
            self.settled(self.sessions.release(proxy))
            self.drop(proxy)
        else:
            self.settled(self.sessions.disconnect(proxy))
        self.connected.discard(proxy)

    @rule(seconds=st.sampled_from([0.1, 0.4, 1.0, 5.0, 9.9, 10.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.settled(self.sessions.expire(self.now))
        for proxy, until in tuple(self.lease_until.items()):
            if until <= self.now:
                self.drop(proxy)

    @invariant()
    def settled_if_and_only_if_nobody_can_decide_by_the_older_state(self):
        for sequence, awaited in self.awaited.items():
            assert self.sessions.is_settled(sequence) == (not awaited)
            assert (sequence in self.reported) == (not awaited)
            told = self.sessions.awaited([sequence], self.now)
            assert (set(told.proxies) if told else set()) == awaited
            if told:
                until = self.now + told.seconds_at_most
                assert until >= max(self.lease_until[proxy] for proxy in awaited) - TINY
                assert until <= self.made_at[sequence] + PATIENCE + TTL + TINY

    @invariant()
    def whoever_is_awaited_is_awaited_for_a_bounded_time(self):
        for sequence, awaited in self.awaited.items():
            assert not awaited or self.now <= self.made_at[sequence] + PATIENCE + TTL
        waiting = set().union(*self.awaited.values())
        assert self.sessions.next_expiry() == min(
            (self.lease_until[proxy] for proxy in waiting), default=None
        )


SessionsMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
TestSessionsMachine = SessionsMachine.TestCase


def test_the_views_name_first_what_changes_wait_for_then_who_is_cut_off(sessions):
    for proxy_id, now in (("waits", 1.0), ("cut off", 2.0), ("well", 3.0)):
        sessions.open(proxy_id)
        sessions.renew(proxy_id, now)
    sessions.open("new")
    notice, _ = sessions.notify(Invalidation("alice", 7), 4.0)
    for proxy_id in ("cut off", "well"):
        sessions.acknowledge(proxy_id, notice.sequence)
    sessions.disconnect("cut off")
    views = sessions.views(5.5, 10)
    assert [view.proxy_id for view in views] == ["waits", "cut off", "new", "well"]
    assert views[0] == SessionView("waits", True, 1.0 + TTL - 5.5, 1, 1.5)
    assert views[1] == SessionView("cut off", False, 2.0 + TTL - 5.5, 0, None)
    assert views[2] == SessionView("new", True, None, 0, None)
    assert sessions.views(5.5, 1) == views[:1]
    assert sessions.count == 4


def test_a_view_has_no_lease_that_has_run_out_and_no_session_of_a_predecessor():
    sessions = SessionState(TTL, predecessor_until=12.0)
    sessions.open("a")
    sessions.renew("a", 0.0)
    assert sessions.views(TTL, 10) == [SessionView("a", True, None, 0, None)]
    assert sessions.count == 1
