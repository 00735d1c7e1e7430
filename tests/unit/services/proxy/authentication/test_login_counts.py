import pytest

from vecguard.errors import (
    DeadlineError,
    OutcomeUnknownError,
    OverloadedError,
    UnavailableError,
    VecguardError,
)
from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    LoginLimitedError,
    WrongCredentialsError,
)
from vecguard.proxy.authentication.limits import Bucket, FailureLimits, FailureRates, NoLimits, Rate
from vecguard.proxy.authentication.login_counts import LoginCounts


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (WrongCredentialsError(), ("refused", "wrong_credentials")),
        (ApiKeyError(), ("refused", "api_key")),
        (LoginLimitedError(1.0), ("limited", "login_limited")),
        (OverloadedError(""), ("overloaded", "overloaded")),
        (UnavailableError(""), ("unavailable", "unavailable")),
        (OutcomeUnknownError(""), ("unavailable", "outcome_unknown")),
        (DeadlineError(""), ("unavailable", "deadline_exceeded")),
        (VecguardError(""), ("failed", "internal")),
    ],
    ids=lambda value: value.reason if isinstance(value, VecguardError) else "",
)
def test_an_error_s_class_is_the_result_and_its_reason_the_reason(error, ending):
    counts = LoginCounts()
    counts.refused(error)
    assert {key: count for key, count in counts.endings().items() if count} == {ending: 1}


def test_what_usually_happens_is_there_before_it_happens():
    endings = LoginCounts().endings()
    assert {result for result, _ in endings} >= {
        "accepted",
        "refused",
        "limited",
        "overloaded",
        "unavailable",
    }
    assert set(endings.values()) == {0}


def limits(pair, origin, name):
    rates = FailureRates(*(Rate(burst, 0.01) for burst in (pair, origin, name)))
    return FailureLimits(rates, max_tracked=10, clock=lambda: 0.0)


@pytest.mark.parametrize(
    ("bursts", "expected"),
    [((2, 9, 9), Bucket.PAIR), ((9, 2, 9), Bucket.ADDRESS), ((9, 9, 2), Bucket.NAME)],
)
def test_the_limit_that_was_reached_is_the_one_that_is_counted(bursts, expected):
    guard = limits(*bursts)
    for _ in range(2):
        guard.check("somewhere", "bob")
        guard.failed("somewhere", "bob")
    with pytest.raises(LoginLimitedError):
        guard.check("somewhere", "bob")
    assert +guard.hits == {expected: 1}
    assert guard.tracked() == {
        Bucket.PAIR: 1,
        Bucket.ADDRESS: 1,
        Bucket.NAME: 1,
        "first_failures": 1,
        "failed_names": 1,
    }


def test_an_address_at_its_limit_is_counted_before_any_name_is_looked_at():
    guard = limits(9, 1, 9)
    guard.failed("somewhere", "bob")
    with pytest.raises(LoginLimitedError):
        guard.check_origin("somewhere")
    assert +guard.hits == {Bucket.ADDRESS: 1}


def test_where_there_are_no_limits_there_is_nothing_to_count():
    assert set(NoLimits(clock=lambda: 0.0).hits.values()) == {0}
    without = NoLimits(clock=lambda: 0.0)
    without.failed("somewhere", "bob")
    assert without.tracked() == {"failed_names": 1}
