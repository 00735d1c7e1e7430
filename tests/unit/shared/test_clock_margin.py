"""The margin's promise, in exact arithmetic: a lease ends at its holder before it ends elsewhere.

A clock that makes `rate` seconds in a second of the granter's clock has drifted by as much
as the margin's ratio permits, or less. Fractions leave no room for rounding.
"""

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vecguard.clock_margin import ClockMargin
from vecguard.config import Settings
from vecguard.proxy.revocation.lease import Lease
from vecguard.root_coord.session_state import Invalidation, SessionState

shares = st.fractions(min_value=0, max_value=1, max_denominator=10_000)
ratios = shares.filter(lambda share: share < 1)
fixed = st.fractions(min_value=0, max_value=100, max_denominator=1_000)
lengths = st.fractions(min_value=Fraction(1, 1_000), max_value=10_000, max_denominator=1_000)
moments = st.fractions(min_value=-1_000_000, max_value=1_000_000, max_denominator=1_000)
delays = st.fractions(min_value=0, max_value=100, max_denominator=1_000)


@given(ratios, fixed, lengths, shares, st.tuples(moments, moments, delays))
@example(Fraction(1, 100), Fraction(0), Fraction(10), Fraction(0), (Fraction(0), Fraction(0), 0))
def test_a_proxys_lease_is_over_when_root_coord_awaits_it_no_longer(
    ratio, fixed_seconds, length, share, times
):
    sent_at, offset, delay = times
    rate = 1 - ratio + ratio * share  # from the slowest permitted clock to one without drift

    def holders(granters_clock):
        return offset + granters_clock * rate

    lease = Lease(ClockMargin(ratio, fixed_seconds))
    lease.granted_for(length)
    number = lease.sending(holders(sent_at))
    sessions = SessionState(length)
    sessions.open("proxy")
    assert sessions.renew("proxy", sent_at + delay)
    lease.renewed(number)
    notice, _ = sessions.notify(Invalidation("bob", 1), sent_at + delay)

    over_at = sessions.next_expiry()
    sessions.expire(over_at)
    assert sessions.is_settled(notice.sequence)
    assert not lease.is_valid(holders(over_at))
    assert lease.remaining_seconds(holders(over_at)) <= -fixed_seconds


@given(ratios, fixed, lengths, shares)
def test_a_successor_waits_for_longer_than_a_holder_without_a_margin(
    ratio, fixed_seconds, length, share
):
    rate = 1 / (1 + ratio * share)  # the holder's clock, from no drift to the slowest permitted
    waited = ClockMargin(ratio, fixed_seconds).outlasting_seconds(length)
    assert waited * rate >= length


@given(ratios, fixed, lengths)
def test_a_slower_clock_than_permitted_would_break_the_promise(ratio, fixed_seconds, length):
    usable = ClockMargin(ratio, fixed_seconds).usable_seconds(length)
    assume(usable > 0)
    slowest = usable / length
    assert slowest <= 1 - ratio
    assert usable / (slowest * Fraction(999, 1000)) > length


@given(ratios, fixed, lengths)
def test_what_is_usable_and_what_is_given_up_make_the_lease(ratio, fixed_seconds, length):
    margin = ClockMargin(ratio, fixed_seconds)
    assert margin.usable_seconds(length) + margin.given_up_seconds(length) == length
    assert margin.outlasting_seconds(length) - length == margin.given_up_seconds(length)


def test_unless_set_it_is_one_percent_and_a_tenth_of_a_second():
    lease = Settings.model_validate({}).lease
    assert lease.margin == ClockMargin(0.01, 0.1)
    assert lease.margin.given_up_seconds(lease.ttl) == pytest.approx(0.2)
    assert lease.margin.usable_seconds(lease.ttl) == pytest.approx(9.8)
    assert lease.margin.outlasting_seconds(lease.ttl) == pytest.approx(10.2)
