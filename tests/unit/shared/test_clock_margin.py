"""The margin of a lease: the same numbers as before it had one home, and the promise it makes."""

import inspect
from math import ulp

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vecguard.clock_margin import ClockMargin
from vecguard.config.revocation import ClockMarginSettings, LeaseSettings
from vecguard.proxy.revocation.lease import ClockMargin as ProxyMargin
from vecguard.root_coord.election import Election
from vecguard.root_coord.tenure import Tenure

ratios = st.floats(min_value=0, max_value=1, exclude_max=True)
fixed = st.floats(min_value=0, max_value=1e9)
lengths = st.floats(min_value=0, max_value=1e9, exclude_min=True)


@given(ratios, fixed, lengths)
@example(0.01, 0.1, 10.0)
@example(0.01, 0.1, 5.0)
def test_it_equals_the_proxys_formula(ratio, fixed_seconds, length):
    old = ProxyMargin(ratio, fixed_seconds).shortened(length)
    assert ClockMargin(ratio, fixed_seconds).usable_seconds(length) == old


@given(ratios, fixed, lengths)
def test_it_equals_the_elections_formula(ratio, fixed_seconds, length):
    # As it stands in the middle of Election._stand, which the next test makes sure of.
    old = length * (1 - ratio) - fixed_seconds
    assert ClockMargin(ratio, fixed_seconds).usable_seconds(length) == old


def test_the_formulas_without_a_function_are_quoted_as_they_stand():
    assert (
        "usable = lease.ttl_seconds * (1 - self._margin_ratio) - self._margin_seconds\n"
        in inspect.getsource(Election._stand)
    )
    assert "wait = earlier + settings.lease.clock_margin.of(earlier)\n" in inspect.getsource(
        Tenure.__init__
    )


@given(ratios, fixed, lengths)
def test_it_equals_the_settings_formula_and_the_successors(ratio, fixed_seconds, length):
    settings = ClockMarginSettings(ratio=ratio, fixed=fixed_seconds)
    margin = ClockMargin(ratio, fixed_seconds)
    assert margin.given_up_seconds(length) == settings.of(length)
    assert margin.outlasting_seconds(length) == length + settings.of(length)
    lease = LeaseSettings(ttl=length, clock_margin=settings)
    assert margin.given_up_seconds(length) == lease.margin


@given(ratios, fixed, lengths)
def test_what_the_settings_check_is_what_the_holder_uses(ratio, fixed_seconds, length):
    """The check of settings subtracts the margin; the two differ by rounding at most."""
    settings = ClockMarginSettings(ratio=ratio, fixed=fixed_seconds)
    old = length - settings.of(length)
    new = ClockMargin(ratio, fixed_seconds).usable_seconds(length)
    assert new == pytest.approx(old, rel=0, abs=3 * ulp(length + fixed_seconds))
