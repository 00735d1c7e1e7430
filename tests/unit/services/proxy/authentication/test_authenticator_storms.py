"""What the authenticator does when it is busy: limits, turns and look-ups together."""

import asyncio

import pytest

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    header_of,
    login_settings,
    observed_authentication,
)
from tests.support.waiting import eventually
from vecguard.errors import OverloadedError
from vecguard.proxy.authentication import configured
from vecguard.proxy.authentication.errors import (
    LoginLimitedError,
    MalformedHeaderError,
    WrongCredentialsError,
)
from vecguard.proxy.authentication.limits import Suspicion
from vecguard.proxy.principal import Principal

ATTACKER, HOME, OFFICE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
BURST = 3
LIMITS = {
    "pair_burst": BURST,
    "pair_per_minute": 6.0,
    "address_burst": 6,
    "address_per_minute": 6.0,
    "name_burst": 4,
    "name_per_minute": 6.0,
}


class StormHarness:
    def __init__(self, *, queue=100, max_users=100):
        self.clock = ManualClock()
        self.source = ScriptedSource()
        queues = {"verifier_queue": queue, "verifier_queue_per_address": queue}
        self.authentication = observed_authentication(
            self.source,
            settings=login_settings(
                authentication=queues | {"login_limits": LIMITS}, proxy={"max_user_num": max_users}
            ),
            clock=self.clock,
        )
        self.authenticator = self.authentication.authenticator
        self.credentials = self.authentication.credentials
        self.verifier = self.authentication.verifier
        self.lookup_queue = self.authentication.lookup_queue

    def close(self):
        self.authentication.close()

    async def login(self, username, password, origin):
        return await self.authenticator.authenticate([header_of(username, password)], origin)

    async def fails(self, username, password, origin):
        with pytest.raises(WrongCredentialsError):
            await self.login(username, password, origin)

    def starts(self, *logins):
        return [asyncio.create_task(self.login(*login)) for login in logins]


@pytest.fixture
async def harness():
    harness = StormHarness()
    harness.source.put("bob", "right1")
    yield harness
    harness.close()


@pytest.fixture
def small_burst(monkeypatch):
    """As many look-ups at once as there may be users."""
    monkeypatch.setattr(configured, "FETCH_BURST", 1)


async def fail_until_limited(harness, username="bob", origin=ATTACKER):
    for number in range(100):
        try:
            await harness.login(username, f"wrong{number}", origin)
        except WrongCredentialsError:
            continue
        except LoginLimitedError:
            return number
    raise AssertionError("there is no limit")


async def test_guessing_comes_to_an_end_before_bcrypt_and_fetch(harness):
    assert await fail_until_limited(harness) == 3
    checks, fetches = harness.verifier.checks, harness.source.fetches.total()
    for number in range(50):
        with pytest.raises(LoginLimitedError):
            await harness.login("bob", f"other{number}", ATTACKER)
    assert (harness.verifier.checks, harness.source.fetches.total()) == (checks, fetches)


async def test_guessing_at_many_names_comes_to_an_end_before_anything_is_decoded(harness):
    for number in range(6):
        await harness.fails(f"nobody{number}", "wrong1", ATTACKER)
    with pytest.raises(LoginLimitedError):
        await harness.authenticator.authenticate([b"no base64 !"], ATTACKER)
    with pytest.raises(MalformedHeaderError):
        await harness.authenticator.authenticate([b"no base64 !"], HOME)


async def test_an_unknown_name_is_limited_just_as_one_that_exists(harness):
    assert await fail_until_limited(harness, "nobody") == await fail_until_limited(
        harness, "bob", HOME
    )


async def test_whoever_holds_a_known_login_notices_nothing(harness):
    await harness.login("bob", "right1", ATTACKER)
    await fail_until_limited(harness)
    checks = harness.verifier.checks
    for _ in range(20):
        assert await harness.login("bob", "right1", ATTACKER) == Principal("bob", 101)
    # Nor when its credential has to be read again.
    harness.clock.advance(61)
    await fail_until_limited(harness)
    harness.credentials.invalidate_all()
    assert await harness.login("bob", "right1", ATTACKER) == Principal("bob", 101)
    assert harness.verifier.checks <= checks + 10


async def test_a_known_login_is_judged_anew_whatever_the_limits_say(harness):
    await harness.login("bob", "right1", ATTACKER)
    await fail_until_limited(harness)
    # The same password under a new revision, as after another description.
    revision = harness.source.put("bob", "right1")
    harness.credentials.invalidate_all()
    assert await harness.login("bob", "right1", ATTACKER) == Principal("bob", revision)


async def test_a_user_under_attack_from_elsewhere_gets_in_at_the_first_try(harness):
    for attacker in range(10):
        await fail_until_limited(harness, origin=f"198.51.100.{attacker}")
    assert await harness.login("bob", "right1", HOME) == Principal("bob", 101)


async def test_a_wrong_password_that_is_repeated_never_reaches_a_limit(harness):
    for _ in range(100):
        await harness.fails("bob", "wrong1", ATTACKER)
    assert harness.verifier.checks == 1
    assert await harness.login("bob", "right1", ATTACKER) == Principal("bob", 101)


async def test_parallel_guesses_do_not_get_past_the_limit(harness):
    guesses = harness.starts(*(("bob", f"wrong{number}", ATTACKER) for number in range(50)))
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(result) for result in results} == {WrongCredentialsError, LoginLimitedError}
    # Each of the two threads may have been given the next one when the bucket ran dry.
    assert harness.verifier.checks <= BURST + 2


async def test_parallel_right_logins_of_many_users_reach_no_limit(harness):
    for number in range(50):
        harness.source.put(f"user{number}", "right1")
    logins = harness.starts(*((f"user{number}", "right1", HOME) for number in range(50)))
    principals = await asyncio.gather(*logins)
    assert {each.username for each in principals} == {f"user{number}" for number in range(50)}


async def test_hanging_up_on_bcrypt_costs_what_a_wrong_password_costs(harness):
    harness.verifier.gate.close()
    for number in range(3):
        (guess,) = harness.starts(("bob", f"wrong{number}", ATTACKER))
        await harness.verifier.gate.arrivals()
        guess.cancel()
        await asyncio.wait([guess])

        async def nobody_is_at_the_gate():
            return not harness.verifier.gate.waiting

        await eventually(nobody_is_at_the_gate)
    harness.verifier.gate.open()
    with pytest.raises(LoginLimitedError):
        await harness.login("bob", "wrong9", ATTACKER)


async def test_guesses_at_other_names_lock_no_first_login_out_of_the_same_address(harness):
    harness.source.put("carol", "right1")
    for name in ("bob", "dave", "erin"):
        await fail_until_limited(harness, name)
    assert await harness.login("carol", "right1", ATTACKER) == Principal("carol", 102)


async def test_nobody_is_held_up_or_limited_by_another_ones_equal_login(harness):
    await fail_until_limited(harness)
    results = await asyncio.gather(
        *harness.starts(("bob", "right1", ATTACKER), ("bob", "right1", HOME)),
        return_exceptions=True,
    )
    assert isinstance(results[0], LoginLimitedError)
    assert results[1] == Principal("bob", 101)


async def test_names_that_are_not_held_are_looked_up_at_a_pace(small_burst):
    harness = StormHarness(queue=10, max_users=5)
    logins = harness.starts(*((f"nobody{n}", "wrong1", f"192.0.2.{n}") for n in range(100)))
    # Two threads, and ten who wait for one.
    async with asyncio.timeout(5):  # they are refused at once, not because they waited too long
        results = await asyncio.gather(*logins[12:], return_exceptions=True)
    assert {type(result) for result in results} == {OverloadedError}

    async def the_burst_was_looked_up():
        return harness.source.fetches.total() == 5

    await eventually(the_burst_was_looked_up)
    await asyncio.sleep(0.02)  # longer than the pace, by a clock that stands still here
    assert harness.source.fetches.total() == 5
    for login in logins:
        login.cancel()
    await asyncio.wait(logins)
    harness.close()


async def test_names_are_looked_up_as_slowly_as_passwords_are_checked(harness):
    harness.source.gate.close()
    guesses = harness.starts(*((f"nobody{n}", "wrong1", f"192.0.2.{n}") for n in range(20)))
    await harness.source.gate.arrivals(2)
    assert harness.source.fetches.total() == 2
    harness.source.gate.open()
    await asyncio.gather(*guesses, return_exceptions=True)
    assert harness.source.fetches.total() == 20


async def test_users_who_are_held_do_not_wait_behind_names_that_are_not(small_burst, monkeypatch):
    monkeypatch.setattr(configured, "FETCHES_PER_SECOND", 0.001)
    harness = StormHarness(max_users=2)
    harness.source.put("bob", "right1")
    await harness.login("bob", "right1", HOME)
    unknown = harness.starts(*((f"nobody{n}", "wrong1", ATTACKER) for n in range(10)))

    async def unknown_wait():
        return harness.lookup_queue.waiting and harness.verifier.waiting > 5

    await eventually(unknown_wait)
    harness.clock.advance(61)
    assert await harness.login("bob", "right1", HOME) == Principal("bob", 101)
    assert await harness.login("bob", "right1", ATTACKER) == Principal("bob", 101)
    for login in unknown:
        login.cancel()
    await asyncio.wait(unknown)
    harness.close()


async def test_logins_wait_where_earlier_failures_have_put_them(harness, monkeypatch):
    seen = []
    slot = harness.verifier.slot

    def noting(origin, name, suspicion):
        seen.append(suspicion())
        return slot(origin, name, suspicion)

    monkeypatch.setattr(harness.verifier, "slot", noting)
    await harness.fails("bob", "wrong1", ATTACKER)
    await harness.fails("nobody", "wrong1", ATTACKER)
    await harness.login("bob", "right1", HOME)
    await harness.fails("nobody", "wrong2", OFFICE)
    await harness.fails("somebody", "wrong1", HOME)
    assert seen == [
        Suspicion.NONE,
        Suspicion.ORIGIN,
        Suspicion.NAME,
        Suspicion.NAME,
        Suspicion.NONE,
    ]


@pytest.mark.parametrize("username", ["bob", "nobody"])
@pytest.mark.parametrize("seconds", [1, 61], ids=["fresh", "expired"])
async def test_a_guess_is_looked_up_in_line_whatever_is_cached_of_its_name(
    harness, monkeypatch, username, seconds
):
    await harness.login("bob", "right1", HOME)
    harness.clock.advance(seconds)
    names, slot = [], harness.lookup_queue.slot

    def noting(origin, *, name, suspect):
        names.append(name)
        return slot(origin, name=name, suspect=suspect)

    monkeypatch.setattr(harness.lookup_queue, "slot", noting)
    await harness.fails(username, "wrong1", ATTACKER)
    assert names == [username]


@pytest.mark.parametrize("username", ["bob", "nobody"])
@pytest.mark.parametrize("seconds", [1, 61], ids=["held", "held not long ago"])
async def test_whoever_fills_its_own_line_learns_nothing_about_names(username, seconds):
    """Otherwise the delay of a refusal would show what is known of a name."""
    harness = StormHarness(queue=1)
    harness.source.put("bob", "first1")
    await harness.login("bob", "first1", HOME)
    harness.clock.advance(seconds)
    checks = harness.verifier.checks
    harness.source.gate.close()
    flood = harness.starts(*((f"name{number}", "x", ATTACKER) for number in range(5)))
    await harness.source.gate.arrivals(2)
    with pytest.raises(OverloadedError):
        await harness.login(username, "wrong1", ATTACKER)
    assert harness.verifier.checks == checks
    assert harness.source.fetches[username] == (username == "bob")
    # A user with a known login is read again at once, although others wait there.
    known = harness.starts(("bob", "first1", ATTACKER))
    if seconds > 60:
        await harness.source.gate.arrivals(3)
    harness.source.gate.open()
    await asyncio.gather(*known)
    await asyncio.gather(*flood, return_exceptions=True)
    harness.close()
