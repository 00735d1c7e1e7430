import pytest

from tests.support.credentials import ManualClock
from vecguard.errors import Status
from vecguard.proxy.authentication.buckets import Rate
from vecguard.proxy.authentication.errors import LoginLimitedError
from vecguard.proxy.authentication.limits import FailureLimits, FailureRates, NoLimits, Suspicion

RATES = FailureRates(pair=Rate(3, 0.1), origin=Rate(8, 1.0), name=Rate(5, 0.5))
ATTACKER, HOME, OFFICE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def limits(clock):
    return FailureLimits(RATES, max_tracked=100, clock=clock)


def fail(limits, origin, username, times):
    for _ in range(times):
        limits.failed(origin, username)


def test_a_name_is_closed_to_the_address_that_failed_too_often(limits, clock):
    fail(limits, ATTACKER, "bob", 2)
    limits.check(ATTACKER, "bob")
    fail(limits, ATTACKER, "bob", 1)
    with pytest.raises(LoginLimitedError) as refusal:
        limits.check(ATTACKER, "bob")
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED
    assert refusal.value.retry_after_seconds == pytest.approx(10)
    assert "try again in 10 s" in refusal.value.message
    clock.advance(10.01)
    limits.check(ATTACKER, "bob")


def test_a_name_under_attack_stays_open_to_an_address_that_has_not_failed(limits):
    for attacker in range(50):
        fail(limits, f"198.51.100.{attacker}", "bob", 3)
    limits.check(HOME, "bob")


def test_all_addresses_of_an_attacker_together_are_slowed_down(limits, clock):
    for attacker in range(5):
        fail(limits, f"198.51.100.{attacker}", "bob", 1)
    with pytest.raises(LoginLimitedError):
        limits.check("198.51.100.0", "bob")
    clock.advance(2.01)  # one token of the name's bucket
    limits.check("198.51.100.0", "bob")


def test_names_that_have_not_failed_stay_open_beside_guesses_at_a_few(limits):
    for name in ("bob", "dave", "erin"):
        fail(limits, ATTACKER, name, 2)
    fail(limits, ATTACKER, "bob", 100)
    for name in ("bob", "dave", "erin"):
        with pytest.raises(LoginLimitedError):
            limits.check(ATTACKER, name)
    limits.check_origin(ATTACKER)
    limits.check(ATTACKER, "carol")


def test_other_names_stay_open_until_the_address_has_failed_with_too_many(limits):
    fail(limits, ATTACKER, "bob", 3)
    limits.check(ATTACKER, "carol")
    limits.check_origin(ATTACKER)
    for number in range(7):
        limits.failed(ATTACKER, f"user{number}")
    for check in (lambda: limits.check_origin(ATTACKER), lambda: limits.check(ATTACKER, "carol")):
        with pytest.raises(LoginLimitedError):
            check()
    limits.check_origin(HOME)


def test_a_good_login_makes_up_for_slips_with_the_same_name_from_the_same_address(limits):
    fail(limits, HOME, "bob", 2)
    limits.succeeded(HOME, "bob")
    fail(limits, HOME, "bob", 2)
    limits.check(HOME, "bob")


def test_an_address_is_suspect_until_its_failures_have_come_back(limits, clock):
    fail(limits, ATTACKER, "bob", 2)
    assert limits.is_suspect(ATTACKER)
    assert not limits.is_suspect(HOME)
    clock.advance(2)
    assert not limits.is_suspect(ATTACKER)


def test_suspicion_falls_on_the_name_elsewhere_and_on_the_address_for_any_name(limits, clock):
    fail(limits, ATTACKER, "bob", 1)
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.PAIR
    assert limits.suspicion(ATTACKER, "carol") is Suspicion.ORIGIN
    assert limits.suspicion(HOME, "bob") is Suspicion.NAME
    assert limits.suspicion(HOME, "carol") is Suspicion.NONE
    clock.advance(1.01)  # the address's bucket is full again, the pair's is not
    assert limits.suspicion(ATTACKER, "carol") is Suspicion.NONE
    clock.advance(590)
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.PAIR
    clock.advance(10)
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.NONE


def test_a_good_login_clears_its_name_at_its_address(limits):
    fail(limits, ATTACKER, "bob", 1)
    limits.succeeded(ATTACKER, "bob")
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.ORIGIN


def test_a_good_login_of_ones_own_opens_no_door_for_guesses_at_others(limits):
    for number in range(8):
        limits.failed(ATTACKER, f"user{number}")
    limits.succeeded(ATTACKER, "mallory")
    with pytest.raises(LoginLimitedError):
        limits.check_origin(ATTACKER)


def test_floods_of_names_and_addresses_are_forgotten_in_time(clock):
    limits = FailureLimits(RATES, max_tracked=10, clock=clock)
    for number in range(1000):
        limits.failed(f"origin{number}", f"user{number}")
    remembered = (limits._pairs, limits._origins, limits._names, limits._failed)
    assert all(len(each) == 10 for each in remembered)


def test_without_limits_everything_is_judged():
    limits = NoLimits(clock=lambda: 0.0)
    fail(limits, ATTACKER, "bob", 1000)
    limits.check_origin(ATTACKER)
    limits.check(ATTACKER, "bob")


def test_without_limits_a_name_that_has_failed_comes_after_others_of_its_address(clock):
    limits = NoLimits(max_tracked=10, clock=clock)
    limits.failed(ATTACKER, "bob")
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.PAIR
    assert limits.suspicion(ATTACKER, "carol") is Suspicion.NONE
    assert limits.suspicion(HOME, "bob") is Suspicion.NONE
    limits.succeeded(ATTACKER, "bob")
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.NONE
    limits.failed(ATTACKER, "bob")
    clock.advance(601)
    assert limits.suspicion(ATTACKER, "bob") is Suspicion.NONE
