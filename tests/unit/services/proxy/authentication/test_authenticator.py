import asyncio
import base64
import gc
import traceback
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from tests.support.credentials import (
    header_of,
)
from tests.support.login_house import House
from tests.support.waiting import eventually
from vecguard.errors import DeadlineError, OverloadedError, Status, UnavailableError
from vecguard.passwords import hash_password
from vecguard.proxy.authentication.authenticator import Principal
from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    AuthenticationError,
    MalformedHeaderError,
    MissingHeaderError,
    WrongCredentialsError,
)
from vecguard.secret import Secret


@pytest.fixture
async def house():
    house = House()
    house.source.put("bob", "first1")
    yield house
    house.close()


# --- what is presented ------------------------------------------------------------------


async def test_a_right_login_is_accepted_with_its_revision(house):
    assert await house.login("bob", "first1") == Principal("bob", 101)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([], MissingHeaderError),
        ([header_of("bob", "first1")] * 2, MalformedHeaderError),
        ([b"bob:first1"], MalformedHeaderError),
        ([base64.b64encode(b"bob")], ApiKeyError),
        ([header_of("bob", "wrong1")], WrongCredentialsError),
        ([header_of("bob", "")], WrongCredentialsError),
        ([header_of("nobody", "first1")], WrongCredentialsError),
        ([header_of("", "first1")], WrongCredentialsError),
        ([header_of("Bob", "first1")], WrongCredentialsError),
        ([header_of("bob ", "first1")], WrongCredentialsError),
    ],
)
async def test_a_wrong_login_is_refused(house, values, error):
    with pytest.raises(error) as refusal:
        await house.authenticator.authenticate(values)
    assert type(refusal.value) is error


async def test_an_unknown_user_and_a_wrong_password_are_answered_alike(house):
    answers = []
    for username in ("bob", "nobody"):
        with pytest.raises(AuthenticationError) as refusal:
            await house.login(username, "wrong1")
        answers.append((type(refusal.value), str(refusal.value), refusal.value.status))
    assert answers[0] == answers[1]


# --- what is remembered -----------------------------------------------------------------


async def test_a_known_login_costs_neither_bcrypt_nor_a_fetch(house):
    await house.login("bob", "first1")
    for _ in range(20):
        assert await house.login("bob", "first1") == Principal("bob", 101)
    assert house.verifier.checks == 1
    assert house.source.fetches["bob"] == 1


async def test_a_known_wrong_login_costs_neither(house):
    for _ in range(20):
        await house.refuses("bob", "wrong1")
    assert house.verifier.checks == 1
    assert house.source.fetches["bob"] == 1


async def test_an_unknown_user_costs_one_bcrypt_for_each_password(house):
    for _ in range(3):
        await house.refuses("nobody", "wrong1")
        await house.refuses("nobody", "wrong2")
    assert house.verifier.checks == 2
    assert house.source.fetches["nobody"] == 1


async def test_many_wrong_passwords_cost_one_fetch_in_the_refresh_interval(house):
    for number in range(10):
        await house.refuses("bob", f"wrong{number}")
    assert house.source.fetches["bob"] == 1
    house.clock.advance(1)
    for number in range(10):
        await house.refuses("bob", f"wrong-again{number}")
    assert house.source.fetches["bob"] == 2


async def test_concurrent_equal_logins_are_one_bcrypt(house):
    house.verifier.gate.close()
    logins = [house.logging_in("bob", "first1") for _ in range(20)]
    await house.verifier.gate.arrivals()
    house.verifier.gate.open()
    assert set(await asyncio.gather(*logins)) == {Principal("bob", 101)}
    assert house.verifier.checks == 1


async def test_concurrent_equal_wrong_logins_are_one_bcrypt(house):
    house.verifier.gate.close()
    logins = [house.logging_in("bob", "wrong1") for _ in range(20)]
    await house.verifier.gate.arrivals()
    house.verifier.gate.open()
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert {type(result) for result in results} == {WrongCredentialsError}
    assert house.verifier.checks == 1


@pytest.mark.parametrize("password", ["first1", "second"])
async def test_a_verdict_of_before_the_store_went_back_is_not_kept(house, password):
    """The same revision may have been given to another password since."""
    house.verifier.gate.close()
    login = house.logging_in("bob", password)
    await house.verifier.gate.arrivals()
    house.credentials.start_afresh()
    house.logins.clear()
    house.source.records["bob"] = (hash_password(Secret("second"), 4), 101)
    house.verifier.gate.open()
    if password == "second":
        assert await login == Principal("bob", 101)
    else:
        with pytest.raises(WrongCredentialsError):
            await login
    assert house.verifier.checks == 2


async def test_one_client_that_hangs_up_does_not_end_the_login_of_another(house):
    house.verifier.gate.close()
    first, second = house.logging_in("bob", "first1"), house.logging_in("bob", "first1")
    await house.verifier.gate.arrivals()
    first.cancel()
    await asyncio.wait([first])
    house.verifier.gate.open()
    assert await second == Principal("bob", 101)
    assert house.verifier.checks == 1


async def test_a_known_login_is_confirmed_without_bcrypt_when_the_ttl_is_over(house):
    await house.login("bob", "first1")
    house.clock.advance(61)
    assert await house.login("bob", "first1") == Principal("bob", 101)
    assert house.source.fetches["bob"] == 2
    assert house.verifier.checks == 1


async def test_a_change_that_no_notice_told_of_is_seen_when_the_ttl_is_over(house):
    await house.login("bob", "first1")
    house.source.put("bob", "second2")
    house.clock.advance(61)
    await house.refuses("bob", "first1")


async def test_a_flood_of_wrong_logins_evicts_no_right_one():
    house = House(cache={"max_logins": 2})
    house.source.put("bob", "first1")
    await house.login("bob", "first1")
    for number in range(20):
        await house.refuses("bob", f"wrong{number}")
        await house.refuses(f"nobody{number}", "wrong1")
    checks = house.verifier.checks
    await house.login("bob", "first1")
    assert house.verifier.checks == checks
    house.close()


# --- revocation -------------------------------------------------------------------------


async def test_after_a_change_the_old_password_is_refused_and_the_new_one_accepted(house):
    await house.login("bob", "first1")
    revision = house.change("bob", "second2")
    await house.refuses("bob", "first1")
    assert await house.login("bob", "second2") == Principal("bob", revision)


async def test_a_remembered_refusal_is_forgotten_with_its_revision(house):
    await house.refuses("bob", "second2")
    revision = house.change("bob", "second2")
    assert await house.login("bob", "second2") == Principal("bob", revision)


async def test_a_password_that_is_changed_back_is_judged_anew_each_time(house):
    await house.login("bob", "first1")
    house.change("bob", "second2")
    await house.refuses("bob", "first1")
    await house.login("bob", "second2")
    revision = house.change("bob", "first1")
    assert await house.login("bob", "first1") == Principal("bob", revision)
    await house.refuses("bob", "second2")


async def test_a_password_that_is_changed_back_unobserved_is_judged_anew(house):
    await house.login("bob", "first1")
    house.change("bob", "second2")
    revision = house.change("bob", "first1")
    assert await house.login("bob", "first1") == Principal("bob", revision)
    assert house.verifier.checks == 2


async def test_a_deleted_user_is_refused(house):
    await house.login("bob", "first1")
    house.delete("bob")
    await house.refuses("bob", "first1")


async def test_a_user_who_is_created_anew_has_only_the_new_password(house):
    await house.login("bob", "first1")
    house.delete("bob")
    await house.refuses("bob", "first1")
    house.change("bob", "second2")
    await house.refuses("bob", "first1")
    assert await house.login("bob", "second2")


async def test_a_user_who_was_remembered_as_unknown_can_log_in_once_created(house):
    await house.refuses("eve", "first1")
    revision = house.change("eve", "first1")
    assert await house.login("eve", "first1") == Principal("eve", revision)


async def test_an_unnoticed_change_is_found_by_the_new_password(house):
    """In bounded mode a proxy may have missed a notice; a mismatch makes it look again."""
    await house.login("bob", "first1")
    house.clock.advance(1)
    revision = house.source.put("bob", "second2")
    assert await house.login("bob", "second2") == Principal("bob", revision)
    await house.refuses("bob", "first1")


@pytest.mark.parametrize("username", ["bob", "nobody"])
async def test_a_login_of_somebody_held_is_looked_up_and_then_checked_as_a_stranger_s_is(
    house, username
):
    """The same work in the same order: how long it takes tells nothing."""
    await house.login("bob", "first1")
    house.clock.advance(1)
    fetches, checks = house.source.fetches.total(), house.verifier.checks
    house.source.gate.close()
    login = house.logging_in(username, "wrong1")
    await house.source.gate.arrivals()
    assert house.verifier.checks == checks
    house.source.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login
    assert (house.source.fetches.total(), house.verifier.checks) == (fetches + 1, checks + 1)


@pytest.mark.parametrize("error", [UnavailableError, DeadlineError, OverloadedError])
async def test_without_an_answer_what_is_held_shows_that_a_login_is_right_but_not_that_it_is_wrong(
    house, error
):
    """Without a lease, as in bounded mode."""
    house.trust.is_bounded = True
    held = await house.authenticator.vouch_for("bob")
    house.clock.advance(1)
    house.source.error = error("root coord does not answer")
    with pytest.raises(error, match="does not answer"):
        await house.login("bob", "wrong1")
    assert await house.login("bob", "first1") == held


@pytest.mark.parametrize("error", [UnavailableError, DeadlineError])
async def test_under_a_lease_what_is_held_shows_that_a_login_is_wrong_without_an_answer(
    house, error
):
    """A change would have come as a notice."""
    await house.authenticator.vouch_for("bob")
    house.clock.advance(1)
    house.source.error = error("root coord does not answer")
    assert await house.refuses("bob", "wrong1")


async def test_an_old_password_is_refused_when_the_change_comes_during_bcrypt(house):
    house.verifier.gate.close()
    login = house.logging_in("bob", "first1")
    await house.verifier.gate.arrivals()
    house.change("bob", "second2")
    house.verifier.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login
    await house.refuses("bob", "first1")


async def test_a_new_password_is_accepted_when_the_change_comes_during_bcrypt(house):
    house.verifier.gate.close()
    login = house.logging_in("bob", "second2")
    await house.verifier.gate.arrivals()
    revision = house.change("bob", "second2")
    house.verifier.gate.open()
    assert await login == Principal("bob", revision)


async def test_a_deletion_during_bcrypt_refuses_the_login(house):
    house.verifier.gate.close()
    login = house.logging_in("bob", "first1")
    await house.verifier.gate.arrivals()
    house.delete("bob")
    house.verifier.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login


async def test_an_old_password_is_refused_when_the_change_comes_during_the_fetch(house):
    house.source.gate.close()
    login = house.logging_in("bob", "first1")
    await house.source.gate.arrivals()
    house.change("bob", "second2")
    house.source.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login


async def test_a_request_that_joins_a_judgement_under_way_gets_the_newest_revision(house):
    """The first request was sent before the change and the second one after it."""
    house.verifier.gate.close()
    before = house.logging_in("bob", "first1")
    await house.verifier.gate.arrivals()
    house.change("bob", "second2")
    after = house.logging_in("bob", "first1")
    await asyncio.sleep(0)
    house.verifier.gate.open()
    results = await asyncio.gather(before, after, return_exceptions=True)
    assert [type(result) for result in results] == [WrongCredentialsError] * 2


async def test_forgetting_everything_during_bcrypt_judges_again(house):
    house.verifier.gate.close()
    login = house.logging_in("bob", "first1")
    await house.verifier.gate.arrivals()
    house.source.put("bob", "second2")
    house.credentials.invalidate_all()
    house.verifier.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login


async def test_a_credential_that_never_stops_changing_is_no_endless_work(house):
    verify = house.verifier.verify

    async def verify_and_change(password, expected, **options):
        matches = await verify(password, expected, **options)
        house.change("bob", "first1")
        return matches

    house.verifier.verify = verify_and_change
    with pytest.raises(OverloadedError) as refusal:
        await house.login("bob", "first1")
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED


async def test_a_login_that_another_address_has_shown_meanwhile_is_not_checked_again(house):
    slot = house.verifier.slot

    @asynccontextmanager
    async def slot_after_another(*arguments):
        house.verifier.slot = slot
        await house.authenticator.authenticate([header_of("bob", "first1")], "another address")
        async with slot(*arguments) as place:
            yield place

    house.verifier.slot = slot_after_another
    assert await house.login("bob", "first1") == Principal("bob", 101)
    assert house.verifier.checks == 1


# --- trust ------------------------------------------------------------------------------


async def test_without_trust_a_known_login_is_not_decided(house):
    await house.login("bob", "first1")
    house.trust.valid = False
    with pytest.raises(UnavailableError, match="no lease"):
        await house.login("bob", "first1")
    house.trust.valid = True
    await house.login("bob", "first1")
    assert house.verifier.checks == 1


async def test_without_trust_a_known_refusal_is_not_decided_either(house):
    await house.refuses("bob", "wrong1")
    house.trust.valid = False
    with pytest.raises(UnavailableError):
        await house.login("bob", "wrong1")


async def test_without_trust_a_new_login_costs_nothing(house):
    house.trust.valid = False
    with pytest.raises(UnavailableError):
        await house.login("bob", "first1")
    assert house.verifier.checks == 0
    assert not house.source.fetches


@pytest.mark.parametrize("password", ["first1", "wrong1"])
async def test_a_lease_that_is_lost_during_bcrypt_leaves_the_login_undecided(house, password):
    house.verifier.gate.close()
    login = house.logging_in("bob", password)
    await house.verifier.gate.arrivals()
    house.trust.valid = False
    house.verifier.gate.open()
    with pytest.raises(UnavailableError):
        await login
    house.trust.valid = True
    house.change("bob", "second2")
    await house.refuses("bob", "first1")


async def test_a_lease_that_is_lost_during_the_fetch_leaves_the_login_undecided(house):
    await house.login("bob", "first1")
    house.clock.advance(61)
    house.source.gate.close()
    login = house.logging_in("bob", "first1")
    await house.source.gate.arrivals()
    house.trust.valid = False
    house.source.gate.open()
    with pytest.raises(UnavailableError):
        await login


async def test_a_root_coord_that_cannot_be_reached_is_no_refusal(house):
    house.source.error = UnavailableError("root coord is away")
    with pytest.raises(UnavailableError, match="root coord is away"):
        await house.login("bob", "first1")
    house.source.error = None
    assert await house.login("bob", "first1")


# --- rehashing --------------------------------------------------------------------------


async def test_a_hash_of_another_cost_is_replaced_at_a_good_login(house):
    house.change("bob", "first1", cost=5)
    principal = await house.login("bob", "first1")
    stored, revision = house.source.records["bob"]
    assert stored.cost == 4
    assert principal == Principal("bob", revision)
    assert await house.login("bob", "first1") == principal
    assert house.rehasher.rehashes == 1
    assert house.verifier.checks == 1
    assert house.source.fetches["bob"] == 1


async def test_a_wrong_login_replaces_no_hash(house):
    house.change("bob", "first1", cost=5)
    await house.refuses("bob", "wrong1")
    assert house.rehasher.rehashes == 0


@pytest.mark.parametrize("error", [UnavailableError("away"), OverloadedError("busy")])
async def test_a_failed_rehash_does_not_fail_the_login(house, error):
    revision = house.change("bob", "first1", cost=5)
    house.rehasher.error = error
    assert await house.login("bob", "first1") == Principal("bob", revision)
    assert await house.login("bob", "first1") == Principal("bob", revision)
    assert house.verifier.checks == 1


async def test_a_rehash_that_somebody_else_made_first_is_no_failure(house):
    house.change("bob", "first1", cost=5)
    house.rehasher.gate.close()
    login = house.logging_in("bob", "first1")
    await house.rehasher.gate.arrivals()
    house.source.put("bob", "first1")
    house.rehasher.gate.open()
    assert (await login).username == "bob"


async def test_a_change_during_the_rehash_refuses_the_old_password(house):
    house.change("bob", "first1", cost=5)
    house.rehasher.gate.close()
    login = house.logging_in("bob", "first1")
    await house.rehasher.gate.arrivals()
    house.change("bob", "second2")
    house.rehasher.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login
    assert house.source.records["bob"][1] == house.credentials.peek("bob").revision


async def test_a_change_right_after_the_rehash_refuses_the_old_password(house):
    """The notice of the later change overtakes the answer to the rehash."""
    house.change("bob", "first1", cost=5)
    rehash = house.rehasher.rehash

    async def overtaken(username, revision, password):
        applied = await rehash(username, revision, password)
        house.change("bob", "second2")
        return applied

    house.rehasher.rehash = overtaken
    await house.refuses("bob", "first1")
    assert await house.login("bob", "second2")


async def test_a_lease_that_is_lost_during_the_rehash_leaves_the_login_undecided(house):
    house.change("bob", "first1", cost=5)
    house.rehasher.gate.close()
    login = house.logging_in("bob", "first1")
    await house.rehasher.gate.arrivals()
    house.trust.valid = False
    house.rehasher.gate.open()
    with pytest.raises(UnavailableError):
        await login


# --- secrets ----------------------------------------------------------------------------

MARKER = "hunter2-marker"
# Spelled backwards, so that this module does not hold what it looks for.
BACKWARDS = "3retnuh-rekram"


def holders_of(backwards):
    """The kinds of objects that hold a text, or the base64 of a login with it."""
    login = base64.b64encode(f"bob:{backwards[::-1]}".encode()).decode()[::-1]
    kinds = []
    for holder in gc.get_objects():
        # Up to 3.12.5, get_referents(_asyncio) may never end (CPython issue 122695).
        # A module's attributes are in its dictionary, which is another object of the list.
        if isinstance(holder, ModuleType):
            continue
        for held in gc.get_referents(holder):
            text = held.decode("latin-1") if isinstance(held, bytes) else held
            if isinstance(text, str) and (backwards in text[::-1] or login in text[::-1]):
                kinds.append(type(holder))
    return kinds


async def outcome_of(house, backwards):
    try:
        await house.login("bob", backwards[::-1])
    except AuthenticationError:
        return "refused"
    return "accepted"


@pytest.mark.parametrize("outcome", ["accepted", "refused"])
async def test_no_clear_password_stays_in_memory_after_the_decision(house, outcome):
    """Not even until the next run of the garbage collector."""
    if outcome == "accepted":
        password = hash_password(Secret(BACKWARDS[::-1]), 4)
        house.source.records["bob"] = (password, house.source.revision)
    gc.collect()
    gc.disable()
    try:
        assert await outcome_of(house, BACKWARDS) == outcome

        async def nothing_holds_it():
            # bcrypt's thread and the loop let go of the job a moment after its end.
            return holders_of(BACKWARDS) == []

        await eventually(nothing_holds_it, timeout_seconds=3)
    finally:
        gc.enable()


@pytest.mark.parametrize("username", ["bob", "nobody", "b/b"])
async def test_no_refusal_shows_what_was_presented(house, username):
    with pytest.raises(AuthenticationError) as refusal:
        await house.login(username, MARKER)
    error = refusal.value
    printed = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    # The traceback quotes this file's lines, which name the marker but do not hold it.
    assert MARKER not in printed
    assert header_of(username, MARKER).decode() not in printed
    assert error.__context__ is None


# --- identities that were proven in another way -----------------------------------------


async def test_an_existing_user_is_vouched_for_without_bcrypt(house):
    assert await house.authenticator.vouch_for("bob") == Principal("bob", 101)
    assert house.verifier.checks == 0


@pytest.mark.parametrize("username", ["nobody", "", "b/b", "b b"])
async def test_nobody_is_vouched_for_who_does_not_exist(house, username):
    with pytest.raises(WrongCredentialsError):
        await house.authenticator.vouch_for(username)
    assert set(house.source.fetches) <= {"nobody"}


async def test_nobody_is_vouched_for_who_was_deleted(house):
    await house.authenticator.vouch_for("bob")
    house.delete("bob")
    with pytest.raises(WrongCredentialsError):
        await house.authenticator.vouch_for("bob")


async def test_nobody_is_vouched_for_without_trust(house):
    await house.authenticator.vouch_for("bob")
    house.trust.valid = False
    with pytest.raises(UnavailableError):
        await house.authenticator.vouch_for("bob")


async def test_nobody_is_vouched_for_by_a_fetch_that_lost_its_lease(house):
    house.source.gate.close()
    vouching = asyncio.create_task(house.authenticator.vouch_for("bob"))
    await house.source.gate.arrivals()
    house.trust.valid = False
    house.source.gate.open()
    with pytest.raises(UnavailableError):
        await vouching


async def test_nobody_is_vouched_for_by_a_record_that_is_revoked_at_the_last_moment(house):
    fetch = house.source.fetch

    async def overtaken(username):
        credential = await fetch(username)
        house.source.fetch = fetch
        # After the fetch has ended and before whoever waits for it is told.
        asyncio.get_running_loop().call_soon(house.delete, "bob")
        return credential

    house.source.fetch = overtaken
    with pytest.raises(WrongCredentialsError):
        await house.authenticator.vouch_for("bob")


async def test_vouching_for_a_record_that_never_stops_changing_is_no_endless_work(house):
    fetch = house.source.fetch

    async def overtaken(username):
        credential = await fetch(username)
        asyncio.get_running_loop().call_soon(house.change, "bob", "second2")
        return credential

    house.source.fetch = overtaken
    with pytest.raises(OverloadedError):
        await house.authenticator.vouch_for("bob")
