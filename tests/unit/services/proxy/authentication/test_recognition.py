"""A login that was recognised before is judged as if it had not been, only by less work."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.credentials import header_of
from tests.support.login_house import House
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.recognition import _MAX_REPEATS

BOB, EVE = [header_of("bob", "first1")], [header_of("eve", "first1")]


@pytest.fixture
async def house():
    house = House(cache={"max_credentials": 2, "max_logins": 2})
    for name in ("bob", "eve", "joe"):
        house.source.put(name, "first1")
    yield house
    house.close()


@pytest.fixture
async def bob(house):
    await house.login("bob", "first1")
    return house.authenticator.recognise(BOB)


async def test_the_answer_is_the_one_that_was_given_before(house, bob):
    assert (bob.username, bob.revision) == ("bob", house.source.records["bob"][1])
    assert house.authenticator.recognise(BOB, bob) is bob


async def test_an_answer_counts_for_its_own_login_only(house, bob):
    assert house.authenticator.recognise(EVE, bob) is None
    assert house.authenticator.recognise([header_of("bob", "first2")], bob) is None
    await house.login("eve", "first1")
    assert house.authenticator.recognise(EVE, bob).username == "eve"


async def test_a_wrong_login_is_refused_whatever_was_recognised_before(house, bob):
    assert await house.refuses("bob", "wrong1")
    with pytest.raises(WrongCredentialsError):
        house.authenticator.recognise([header_of("bob", "wrong1")], bob)


async def evict(house):
    await house.login("eve", "first1")
    await house.login("joe", "first1")


async def renew(house):
    house.credentials.forget("bob")
    await house.credentials.get("bob")


@pytest.mark.parametrize(
    "end",
    [
        lambda house: house.change("bob", "second"),
        lambda house: house.delete("bob"),
        lambda house: house.credentials.forget("bob"),
        lambda house: house.credentials.invalidate_all(),
        lambda house: house.credentials.invalidate_stale(["bob"], house.source.revision + 1),
        lambda house: house.clock.advance(60),
        lambda house: setattr(house.trust, "valid", False),
        evict,
    ],
    ids=["change", "delete", "forget", "forget all", "stale", "ttl", "no lease", "evicted"],
)
async def test_nothing_is_recognised_from_the_moment_at_which_it_does_not_count(house, bob, end):
    done = end(house)
    if done is not None and not isinstance(done, int):
        await done
    assert house.authenticator.recognise(BOB, bob) is None


async def test_a_record_that_was_read_anew_is_not_the_one_that_was_found_before(house, bob):
    await renew(house)
    again = house.authenticator.recognise(BOB, bob)
    assert again is not bob
    assert (again.username, again.revision) == ("bob", bob.revision)


async def test_a_login_that_is_only_recognised_counts_as_used(house, bob):
    await house.login("eve", "first1")
    for _ in range(_MAX_REPEATS + 1):
        assert house.authenticator.recognise(BOB, bob) is not None
    await house.login("joe", "first1")
    assert house.authenticator.recognise(BOB) is not None
    assert house.authenticator.recognise(EVE) is None


def _turn_lease(house):
    house.trust.valid = not house.trust.valid


async def _log_in(house):
    if house.trust.valid:
        for password in ("first1", "second"):
            with suppress(WrongCredentialsError):
                await house.login("bob", password)


STEPS = {
    "change": lambda house: house.change("bob", "second"),
    "change back": lambda house: house.change("bob", "first1"),
    "delete": lambda house: house.delete("bob"),
    "forget": lambda house: house.credentials.forget("bob"),
    "forget all": lambda house: house.credentials.invalidate_all(),
    "later": lambda house: house.clock.advance(25),
    "lease": _turn_lease,
}


@given(st.lists(st.sampled_from([*STEPS, "log in"]), max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_was_recognised_before_never_changes_the_answer(steps):
    async def play():
        house = House()
        try:
            house.source.put("bob", "first1")
            await house.login("bob", "first1")
            earlier = house.authenticator.recognise(BOB)
            for step in steps:
                if step == "log in":
                    await _log_in(house)
                else:
                    STEPS[step](house)
                with_it, without = _answer(house, earlier), _answer(house, None)
                assert with_it == without
        finally:
            house.close()

    asyncio.run(play())


def _answer(house, earlier):
    try:
        found = house.authenticator.recognise(BOB, earlier)
    except WrongCredentialsError:
        return "refused"
    return found and (found.username, found.revision)
