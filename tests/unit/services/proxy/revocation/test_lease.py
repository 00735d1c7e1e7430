import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vecguard.clock_margin import ClockMargin
from vecguard.proxy.revocation.lease import Lease
from vecguard.root_coord.session_state import Invalidation, SessionState

TTL = 10.0
MARGIN = ClockMargin(ratio=0.01, fixed_seconds=0.1)
USABLE = 9.8


@pytest.fixture
def lease():
    lease = Lease(MARGIN)
    lease.granted_for(TTL)
    return lease


def test_a_new_lease_is_not_valid(lease):
    assert not lease.is_valid(0.0)
    assert lease.remaining_seconds(0.0) == -math.inf


def test_sending_alone_grants_nothing(lease):
    lease.sending(100.0)
    assert not lease.is_valid(100.0)


def test_the_margin_shortens_what_was_granted():
    assert MARGIN.usable_seconds(10.0) == pytest.approx(9.8)
    assert ClockMargin(0, 0).usable_seconds(10.0) == 10.0


def test_a_lease_counts_from_sending_and_not_from_the_answer(lease):
    number = lease.sending(100.0)
    lease.renewed(number)
    assert lease.is_valid(100.0 + USABLE - 0.001)
    assert not lease.is_valid(100.0 + USABLE + 0.001)


def test_an_answer_that_comes_too_late_grants_nothing(lease):
    number = lease.sending(100.0)
    lease.renewed(number)
    assert not lease.is_valid(150.0)
    assert lease.remaining_seconds(150.0) == pytest.approx(USABLE - 50)


def test_a_lease_is_over_at_the_very_moment_of_its_end():
    lease = Lease(ClockMargin(0, 0))
    lease.granted_for(10.0)
    lease.renewed(lease.sending(100.0))
    assert lease.is_valid(109.999)
    assert not lease.is_valid(110.0)


def test_a_margin_that_eats_the_lease_leaves_none():
    lease = Lease(ClockMargin(0.5, 6))
    lease.granted_for(10.0)
    lease.renewed(lease.sending(100.0))
    assert not lease.is_valid(100.0)


def test_each_answer_prolongs_the_lease(lease):
    for now in (100.0, 101.0, 102.0):
        lease.renewed(lease.sending(now))
    assert lease.is_valid(102.0 + USABLE - 0.001)


def test_an_answer_to_the_newest_renewal_settles_the_older_ones(lease):
    older, newer = lease.sending(100.0), lease.sending(105.0)
    lease.renewed(newer)
    lease.renewed(older)
    assert lease.remaining_seconds(105.0) == pytest.approx(USABLE)


def test_answers_out_of_order_never_shorten_the_lease(lease):
    numbers = [lease.sending(100.0 + second) for second in range(3)]
    for number in (numbers[1], numbers[0], numbers[2], numbers[0]):
        before = lease.remaining_seconds(100.0)
        lease.renewed(number)
        assert lease.remaining_seconds(100.0) >= before


def test_a_session_with_shorter_leases_does_not_shorten_the_one_that_runs(lease):
    lease.renewed(lease.sending(100.0))
    lease.granted_for(2.0)
    lease.renewed(lease.sending(101.0))
    assert lease.is_valid(100.0 + USABLE - 0.001)


@pytest.mark.parametrize("number", [-1, 0, 2, 99, 2**64])
def test_an_answer_to_nothing_that_was_asked_grants_nothing(lease, number):
    lease.sending(100.0)
    lease.renewed(number)
    assert not lease.is_valid(100.0)


def test_the_same_answer_twice_grants_the_lease_once(lease):
    number = lease.sending(100.0)
    lease.renewed(number)
    lease.surrender(100.0)
    lease.renewed(number)
    assert not lease.is_valid(100.0)


def test_unanswered_renewals_are_bounded_and_the_newest_ones_count(lease):
    numbers = [lease.sending(100.0 + second) for second in range(1000)]
    assert len(lease._sent) <= 64
    lease.renewed(numbers[0])
    assert not lease.is_valid(100.0)
    lease.renewed(numbers[-1])
    assert lease.is_valid(1099.0)


def test_a_surrendered_lease_is_over_at_once(lease):
    lease.renewed(lease.sending(100.0))
    lease.surrender(100.0)
    assert not lease.is_valid(100.0)


def test_a_renewal_sent_before_the_surrender_does_not_bring_the_lease_back(lease):
    number = lease.sending(100.0)
    lease.surrender(100.0)
    lease.renewed(number)
    assert not lease.is_valid(100.0)


def test_a_new_session_brings_a_surrendered_lease_back(lease):
    lease.surrender(100.0)
    lease.granted_for(TTL)
    lease.renewed(lease.sending(100.0))
    assert lease.is_valid(100.0)


def test_a_new_session_voids_the_answers_of_the_old_one(lease):
    number = lease.sending(100.0)
    lease.granted_for(TTL)
    lease.renewed(number)
    assert not lease.is_valid(100.0)


def test_numbers_are_never_used_again(lease):
    numbers = [lease.sending(100.0)]
    lease.granted_for(TTL)
    numbers.append(lease.sending(100.0))
    lease.surrender(100.0)
    numbers.append(lease.sending(100.0))
    assert len(set(numbers)) == 3


def test_a_lease_of_the_old_session_runs_on_while_a_new_one_is_opened(lease):
    """Root coord still counts it, so that the proxy may use it."""
    lease.renewed(lease.sending(100.0))
    lease.granted_for(1.0)
    assert lease.is_valid(109.0)


class LeaseMachine(RuleBasedStateMachine):
    """One proxy and root coord, each with its own clock and any delay in between.

    Invariant: whenever the proxy holds its lease for valid, a change that is made at root
    coord at that very moment waits for this proxy.
    """

    proxy_id = "proxy"

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.up = []
        self.down = []
        self.lease = Lease(MARGIN)
        self.sessions = SessionState(TTL)
        self.connected = False
        self.clocks(1.0, 1.0, 0.0)

    @initialize(
        proxy_rate=st.sampled_from([0.9951, 1.0, 1.0049]),
        root_rate=st.sampled_from([0.9951, 1.0, 1.0049]),
        offset=st.sampled_from([-500.0, 0.0, 500.0]),
    )
    def run_at_different_speeds(self, proxy_rate, root_rate, offset):
        self.clocks(proxy_rate, root_rate, offset)

    def clocks(self, proxy_rate, root_rate, offset):
        self.proxy_rate, self.root_rate, self.offset = proxy_rate, root_rate, offset

    @property
    def proxy_now(self):
        return self.now * self.proxy_rate + self.offset

    @property
    def root_now(self):
        return self.now * self.root_rate

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 3.0, 4.9, 9.0, 9.79, 9.95, 10.0, 30.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def open_a_stream(self):
        """Also while another one is open. What is on its way may arrive all the same."""
        self.sessions.expire(self.root_now)
        self.sessions.open(self.proxy_id)
        self.lease.granted_for(TTL)
        self.connected = True

    @precondition(lambda self: self.connected)
    @rule()
    def the_stream_breaks(self):
        self.sessions.disconnect(self.proxy_id)
        self.connected = False

    @rule()
    def send_a_renewal(self):
        self.up.append(self.lease.sending(self.proxy_now))

    @precondition(lambda self: self.up and self.connected)
    @rule(data=st.data(), again=st.booleans())
    def a_renewal_arrives(self, data, again):
        position = data.draw(st.integers(0, len(self.up) - 1))
        number = self.up[position] if again else self.up.pop(position)
        if self.sessions.renew(self.proxy_id, self.root_now):
            self.down.append(number)

    @precondition(lambda self: self.down)
    @rule(data=st.data(), again=st.booleans())
    def an_answer_arrives(self, data, again):
        position = data.draw(st.integers(0, len(self.down) - 1))
        self.lease.renewed(self.down[position] if again else self.down.pop(position))

    @rule()
    def root_coord_looks_for_expired_leases(self):
        self.sessions.expire(self.root_now)

    @invariant()
    def a_valid_lease_is_waited_for(self):
        if not self.lease.is_valid(self.proxy_now):
            return
        notice, _ = self.sessions.notify(Invalidation("bob", 1), self.root_now)
        self.sessions.expire(self.root_now)
        assert not self.sessions.is_settled(notice.sequence)
        self.sessions.acknowledge(self.proxy_id, notice.sequence)


LeaseMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestLeaseMachine = LeaseMachine.TestCase
