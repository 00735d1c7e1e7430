"""A login that was recognised before is judged as if it had not been, only by less work."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.credentials import header_of
from tests.support.login_harness import LoginHarness
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.known_login import _MAX_REPEATS

BOB, EVE = [header_of("bob", "first1")], [header_of("eve", "first1")]


@pytest.fixture
async def harness():
    harness = LoginHarness(cache={"max_credentials": 2, "max_logins": 2})
    for name in ("bob", "eve", "joe"):
        harness.source.put(name, "first1")
    yield harness
    harness.close()


@pytest.fixture
async def bob(harness):
    await harness.login("bob", "first1")
    return harness.authenticator.recognise(BOB)


async def test_the_answer_is_the_one_that_was_given_before(harness, bob):
    assert (bob.username, bob.revision) == ("bob", harness.source.records["bob"][1])
    assert harness.authenticator.recognise(BOB, bob) is bob


async def test_an_answer_counts_for_its_own_login_only(harness, bob):
    assert harness.authenticator.recognise(EVE, bob) is None
    assert harness.authenticator.recognise([header_of("bob", "first2")], bob) is None
    await harness.login("eve", "first1")
    assert harness.authenticator.recognise(EVE, bob).username == "eve"


async def test_a_wrong_login_is_refused_whatever_was_recognised_before(harness, bob):
    assert await harness.refuses("bob", "wrong1")
    with pytest.raises(WrongCredentialsError):
        harness.authenticator.recognise([header_of("bob", "wrong1")], bob)


async def evict(harness):
    await harness.login("eve", "first1")
    await harness.login("joe", "first1")


async def renew(harness):
    harness.credentials.forget("bob")
    await harness.credentials.get("bob")


@pytest.mark.parametrize(
    "end",
    [
        lambda harness: harness.change("bob", "second"),
        lambda harness: harness.delete("bob"),
        lambda harness: harness.credentials.forget("bob"),
        lambda harness: harness.credentials.invalidate_all(),
        lambda harness: harness.credentials.invalidate_stale(["bob"], harness.source.revision + 1),
        lambda harness: harness.clock.advance(60),
        lambda harness: setattr(harness.trust, "valid", False),
        evict,
    ],
    ids=["change", "delete", "forget", "forget all", "stale", "ttl", "no lease", "evicted"],
)
async def test_nothing_is_recognised_from_the_moment_at_which_it_does_not_count(harness, bob, end):
    done = end(harness)
    if done is not None and not isinstance(done, int):
        await done
    assert harness.authenticator.recognise(BOB, bob) is None


async def test_a_record_that_was_read_anew_is_not_the_one_that_was_found_before(harness, bob):
    await renew(harness)
    again = harness.authenticator.recognise(BOB, bob)
    assert again is not bob
    assert (again.username, again.revision) == ("bob", bob.revision)


async def test_a_login_that_is_only_recognised_counts_as_used(harness, bob):
    await harness.login("eve", "first1")
    for _ in range(_MAX_REPEATS + 1):
        assert harness.authenticator.recognise(BOB, bob) is not None
    await harness.login("joe", "first1")
    assert harness.authenticator.recognise(BOB) is not None
    assert harness.authenticator.recognise(EVE) is None


def _turn_lease(harness):
    harness.trust.valid = not harness.trust.valid


async def _log_in(harness):
    if harness.trust.valid:
        for password in ("first1", "second"):
            with suppress(WrongCredentialsError):
                await harness.login("bob", password)


STEPS = {
    "change": lambda harness: harness.change("bob", "second"),
    "change back": lambda harness: harness.change("bob", "first1"),
    "delete": lambda harness: harness.delete("bob"),
    "forget": lambda harness: harness.credentials.forget("bob"),
    "forget all": lambda harness: harness.credentials.invalidate_all(),
    "later": lambda harness: harness.clock.advance(25),
    "lease": _turn_lease,
}


@given(st.lists(st.sampled_from([*STEPS, "log in"]), max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_was_recognised_before_never_changes_the_answer(steps):
    async def play():
        harness = LoginHarness()
        try:
            harness.source.put("bob", "first1")
            await harness.login("bob", "first1")
            earlier = harness.authenticator.recognise(BOB)
            for step in steps:
                if step == "log in":
                    await _log_in(harness)
                else:
                    STEPS[step](harness)
                with_it, without = _answer(harness, earlier), _answer(harness, None)
                assert with_it == without
        finally:
            harness.close()

    asyncio.run(play())


def _answer(harness, earlier):
    try:
        found = harness.authenticator.recognise(BOB, earlier)
    except WrongCredentialsError:
        return "refused"
    return found and (found.username, found.revision)
