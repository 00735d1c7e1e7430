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
from tests.support.login_harness import LoginHarness, SwitchableTrust
from tests.support.waiting import eventually
from vecguard.errors import DeadlineError, OverloadedError, Status, UnavailableError
from vecguard.passwords import hash_password
from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    AuthenticationError,
    MalformedHeaderError,
    MissingHeaderError,
    WrongCredentialsError,
)
from vecguard.proxy.principal import Principal
from vecguard.secret import Secret


@pytest.fixture
async def harness():
    harness = LoginHarness()
    harness.source.put("bob", "first1")
    yield harness
    harness.close()


# --- what is presented ------------------------------------------------------------------


async def test_a_right_login_is_accepted_with_its_revision(harness):
    assert await harness.login("bob", "first1") == Principal("bob", 101)


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
async def test_a_wrong_login_is_refused(harness, values, error):
    with pytest.raises(error) as refusal:
        await harness.authenticator.authenticate(values)
    assert type(refusal.value) is error


async def test_an_unknown_user_and_a_wrong_password_are_answered_alike(harness):
    answers = []
    for username in ("bob", "nobody"):
        with pytest.raises(AuthenticationError) as refusal:
            await harness.login(username, "wrong1")
        answers.append((type(refusal.value), str(refusal.value), refusal.value.status))
    assert answers[0] == answers[1]


# --- a password without a header --------------------------------------------------------


async def test_a_password_is_checked_as_a_login_with_it_is(harness):
    assert await harness.authenticator.check_password("bob", Secret("first1")) == Principal(
        "bob", 101
    )
    with pytest.raises(WrongCredentialsError):
        await harness.authenticator.check_password("bob", Secret("wrong1"))
    # Both verdicts are known to logins, and a login's to passwords.
    assert await harness.login("bob", "first1") == Principal("bob", 101)
    assert await harness.refuses("bob", "wrong1")
    await harness.authenticator.check_password("bob", Secret("first1"))
    assert harness.verifier.checks == 2


async def test_a_name_that_a_header_cannot_carry_is_not_taken_for_another_user(harness):
    harness.source.put("bob", "first:1")
    await harness.login("bob", "first:1")
    with pytest.raises(WrongCredentialsError):
        await harness.authenticator.check_password("bob:first", Secret("1"))


# --- what is remembered -----------------------------------------------------------------


async def test_a_known_login_costs_neither_bcrypt_nor_a_fetch(harness):
    await harness.login("bob", "first1")
    for _ in range(20):
        assert await harness.login("bob", "first1") == Principal("bob", 101)
    assert harness.verifier.checks == 1
    assert harness.source.fetches["bob"] == 1


async def test_a_known_wrong_login_costs_neither(harness):
    for _ in range(20):
        await harness.refuses("bob", "wrong1")
    assert harness.verifier.checks == 1
    assert harness.source.fetches["bob"] == 1


async def test_an_unknown_user_costs_one_bcrypt_for_each_password(harness):
    for _ in range(3):
        await harness.refuses("nobody", "wrong1")
        await harness.refuses("nobody", "wrong2")
    assert harness.verifier.checks == 2
    assert harness.source.fetches["nobody"] == 1


async def test_many_wrong_passwords_cost_one_fetch_in_the_refresh_interval(harness):
    for number in range(10):
        await harness.refuses("bob", f"wrong{number}")
    assert harness.source.fetches["bob"] == 1
    harness.clock.advance(1)
    for number in range(10):
        await harness.refuses("bob", f"wrong-again{number}")
    assert harness.source.fetches["bob"] == 2


async def test_concurrent_equal_logins_are_one_bcrypt(harness):
    harness.verifier.gate.close()
    logins = [harness.logging_in("bob", "first1") for _ in range(20)]
    await harness.verifier.gate.arrivals()
    harness.verifier.gate.open()
    assert set(await asyncio.gather(*logins)) == {Principal("bob", 101)}
    assert harness.verifier.checks == 1


async def test_concurrent_equal_wrong_logins_are_one_bcrypt(harness):
    harness.verifier.gate.close()
    logins = [harness.logging_in("bob", "wrong1") for _ in range(20)]
    await harness.verifier.gate.arrivals()
    harness.verifier.gate.open()
    results = await asyncio.gather(*logins, return_exceptions=True)
    assert {type(result) for result in results} == {WrongCredentialsError}
    assert harness.verifier.checks == 1


@pytest.mark.parametrize("password", ["first1", "second"])
async def test_a_verdict_of_before_the_store_went_back_is_not_kept(harness, password):
    """The same revision may have been given to another password since."""
    harness.verifier.gate.close()
    login = harness.logging_in("bob", password)
    await harness.verifier.gate.arrivals()
    harness.credentials.start_afresh()
    harness.logins.clear()
    harness.source.records["bob"] = (hash_password(Secret("second"), 4), 101)
    harness.verifier.gate.open()
    if password == "second":
        assert await login == Principal("bob", 101)
    else:
        with pytest.raises(WrongCredentialsError):
            await login
    assert harness.verifier.checks == 2


async def test_one_client_that_hangs_up_does_not_end_the_login_of_another(harness):
    harness.verifier.gate.close()
    first, second = harness.logging_in("bob", "first1"), harness.logging_in("bob", "first1")
    await harness.verifier.gate.arrivals()
    first.cancel()
    await asyncio.wait([first])
    harness.verifier.gate.open()
    assert await second == Principal("bob", 101)
    assert harness.verifier.checks == 1


async def test_a_known_login_is_confirmed_without_bcrypt_when_the_ttl_is_over(harness):
    await harness.login("bob", "first1")
    harness.clock.advance(61)
    assert await harness.login("bob", "first1") == Principal("bob", 101)
    assert harness.source.fetches["bob"] == 2
    assert harness.verifier.checks == 1


async def test_a_change_that_no_notice_told_of_is_seen_when_the_ttl_is_over(harness):
    await harness.login("bob", "first1")
    harness.source.put("bob", "second2")
    harness.clock.advance(61)
    await harness.refuses("bob", "first1")


async def test_a_flood_of_wrong_logins_evicts_no_right_one():
    harness = LoginHarness(cache={"max_logins": 2})
    harness.source.put("bob", "first1")
    await harness.login("bob", "first1")
    for number in range(20):
        await harness.refuses("bob", f"wrong{number}")
        await harness.refuses(f"nobody{number}", "wrong1")
    checks = harness.verifier.checks
    await harness.login("bob", "first1")
    assert harness.verifier.checks == checks
    harness.close()


# --- revocation -------------------------------------------------------------------------


async def test_after_a_change_the_old_password_is_refused_and_the_new_one_accepted(harness):
    await harness.login("bob", "first1")
    revision = harness.change("bob", "second2")
    await harness.refuses("bob", "first1")
    assert await harness.login("bob", "second2") == Principal("bob", revision)


async def test_a_remembered_refusal_is_forgotten_with_its_revision(harness):
    await harness.refuses("bob", "second2")
    revision = harness.change("bob", "second2")
    assert await harness.login("bob", "second2") == Principal("bob", revision)


async def test_a_password_that_is_changed_back_is_judged_anew_each_time(harness):
    await harness.login("bob", "first1")
    harness.change("bob", "second2")
    await harness.refuses("bob", "first1")
    await harness.login("bob", "second2")
    revision = harness.change("bob", "first1")
    assert await harness.login("bob", "first1") == Principal("bob", revision)
    await harness.refuses("bob", "second2")


async def test_a_password_that_is_changed_back_unobserved_is_judged_anew(harness):
    await harness.login("bob", "first1")
    harness.change("bob", "second2")
    revision = harness.change("bob", "first1")
    assert await harness.login("bob", "first1") == Principal("bob", revision)
    assert harness.verifier.checks == 2


async def test_a_deleted_user_is_refused(harness):
    await harness.login("bob", "first1")
    harness.delete("bob")
    await harness.refuses("bob", "first1")


async def test_a_user_who_is_created_anew_has_only_the_new_password(harness):
    await harness.login("bob", "first1")
    harness.delete("bob")
    await harness.refuses("bob", "first1")
    harness.change("bob", "second2")
    await harness.refuses("bob", "first1")
    assert await harness.login("bob", "second2")


async def test_a_user_who_was_remembered_as_unknown_can_log_in_once_created(harness):
    await harness.refuses("eve", "first1")
    revision = harness.change("eve", "first1")
    assert await harness.login("eve", "first1") == Principal("eve", revision)


async def test_an_unnoticed_change_is_found_by_the_new_password(harness):
    """In bounded mode a proxy may have missed a notice; a mismatch makes it look again."""
    await harness.login("bob", "first1")
    harness.clock.advance(1)
    revision = harness.source.put("bob", "second2")
    assert await harness.login("bob", "second2") == Principal("bob", revision)
    await harness.refuses("bob", "first1")


@pytest.mark.parametrize("username", ["bob", "nobody"])
async def test_a_login_of_somebody_held_is_looked_up_and_then_checked_as_a_stranger_s_is(
    harness, username
):
    """The same work in the same order: how long it takes tells nothing."""
    await harness.login("bob", "first1")
    harness.clock.advance(1)
    fetches, checks = harness.source.fetches.total(), harness.verifier.checks
    harness.source.gate.close()
    login = harness.logging_in(username, "wrong1")
    await harness.source.gate.arrivals()
    assert harness.verifier.checks == checks
    harness.source.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login
    assert (harness.source.fetches.total(), harness.verifier.checks) == (fetches + 1, checks + 1)


@pytest.mark.parametrize("error", [UnavailableError, DeadlineError, OverloadedError])
async def test_without_an_answer_what_is_held_shows_that_a_login_is_right_but_not_that_it_is_wrong(
    harness, error
):
    """Without a lease, as in bounded mode."""
    harness.trust.is_bounded = True
    held = await harness.authenticator.vouch_for("bob")
    harness.clock.advance(1)
    harness.source.error = error("root coord does not answer")
    with pytest.raises(error, match="does not answer"):
        await harness.login("bob", "wrong1")
    assert await harness.login("bob", "first1") == held


@pytest.mark.parametrize("error", [UnavailableError, DeadlineError])
async def test_under_a_lease_what_is_held_shows_that_a_login_is_wrong_without_an_answer(
    harness, error
):
    """A change would have come as a notice."""
    await harness.authenticator.vouch_for("bob")
    harness.clock.advance(1)
    harness.source.error = error("root coord does not answer")
    assert await harness.refuses("bob", "wrong1")


async def test_an_old_password_is_refused_when_the_change_comes_during_bcrypt(harness):
    harness.verifier.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.verifier.gate.arrivals()
    harness.change("bob", "second2")
    harness.verifier.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login
    await harness.refuses("bob", "first1")


async def test_a_new_password_is_accepted_when_the_change_comes_during_bcrypt(harness):
    harness.verifier.gate.close()
    login = harness.logging_in("bob", "second2")
    await harness.verifier.gate.arrivals()
    revision = harness.change("bob", "second2")
    harness.verifier.gate.open()
    assert await login == Principal("bob", revision)


async def test_a_deletion_during_bcrypt_refuses_the_login(harness):
    harness.verifier.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.verifier.gate.arrivals()
    harness.delete("bob")
    harness.verifier.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login


async def test_an_old_password_is_refused_when_the_change_comes_during_the_fetch(harness):
    harness.source.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.source.gate.arrivals()
    harness.change("bob", "second2")
    harness.source.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login


async def test_a_request_that_joins_a_judgement_under_way_gets_the_newest_revision(harness):
    """The first request was sent before the change and the second one after it."""
    harness.verifier.gate.close()
    before = harness.logging_in("bob", "first1")
    await harness.verifier.gate.arrivals()
    harness.change("bob", "second2")
    after = harness.logging_in("bob", "first1")
    await asyncio.sleep(0)
    harness.verifier.gate.open()
    results = await asyncio.gather(before, after, return_exceptions=True)
    assert [type(result) for result in results] == [WrongCredentialsError] * 2


async def test_forgetting_everything_during_bcrypt_judges_again(harness):
    harness.verifier.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.verifier.gate.arrivals()
    harness.source.put("bob", "second2")
    harness.credentials.invalidate_all()
    harness.verifier.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login


async def test_a_credential_that_never_stops_changing_is_no_endless_work(harness):
    verify = harness.verifier.verify

    async def verify_and_change(password, expected, **options):
        matches = await verify(password, expected, **options)
        harness.change("bob", "first1")
        return matches

    harness.verifier.verify = verify_and_change
    with pytest.raises(OverloadedError) as refusal:
        await harness.login("bob", "first1")
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED


async def test_a_login_that_another_address_has_shown_meanwhile_is_not_checked_again(harness):
    slot = harness.verifier.slot

    @asynccontextmanager
    async def slot_after_another(*arguments):
        harness.verifier.slot = slot
        await harness.authenticator.authenticate([header_of("bob", "first1")], "another address")
        async with slot(*arguments) as place:
            yield place

    harness.verifier.slot = slot_after_another
    assert await harness.login("bob", "first1") == Principal("bob", 101)
    assert harness.verifier.checks == 1


# --- trust ------------------------------------------------------------------------------


async def test_without_trust_a_known_login_is_not_decided(harness):
    await harness.login("bob", "first1")
    harness.trust.valid = False
    with pytest.raises(UnavailableError, match="no lease"):
        await harness.login("bob", "first1")
    harness.trust.valid = True
    await harness.login("bob", "first1")
    assert harness.verifier.checks == 1


async def test_without_trust_a_known_refusal_is_not_decided_either(harness):
    await harness.refuses("bob", "wrong1")
    harness.trust.valid = False
    with pytest.raises(UnavailableError):
        await harness.login("bob", "wrong1")


async def test_a_new_login_waits_for_trust_without_a_bcrypt_thread(harness, monkeypatch):
    running = []

    async def wait(trust):
        running.append(harness.verifier.running)
        return trust.valid

    monkeypatch.setattr(SwitchableTrust, "wait", wait)
    await harness.login("bob", "first1")
    assert running[0] == 0


async def test_without_trust_a_new_login_costs_nothing(harness):
    harness.trust.valid = False
    with pytest.raises(UnavailableError):
        await harness.login("bob", "first1")
    assert harness.verifier.checks == 0
    assert not harness.source.fetches


@pytest.mark.parametrize("password", ["first1", "wrong1"])
async def test_a_lease_that_is_lost_during_bcrypt_leaves_the_login_undecided(harness, password):
    harness.verifier.gate.close()
    login = harness.logging_in("bob", password)
    await harness.verifier.gate.arrivals()
    harness.trust.valid = False
    harness.verifier.gate.open()
    with pytest.raises(UnavailableError):
        await login
    harness.trust.valid = True
    harness.change("bob", "second2")
    await harness.refuses("bob", "first1")


async def test_a_lease_that_is_lost_during_the_fetch_leaves_the_login_undecided(harness):
    await harness.login("bob", "first1")
    harness.clock.advance(61)
    harness.source.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.source.gate.arrivals()
    harness.trust.valid = False
    harness.source.gate.open()
    with pytest.raises(UnavailableError):
        await login


async def test_a_root_coord_that_cannot_be_reached_is_no_refusal(harness):
    harness.source.error = UnavailableError("root coord is away")
    with pytest.raises(UnavailableError, match="root coord is away"):
        await harness.login("bob", "first1")
    harness.source.error = None
    assert await harness.login("bob", "first1")


# --- rehashing --------------------------------------------------------------------------


async def test_a_hash_of_another_cost_is_replaced_at_a_good_login(harness):
    harness.change("bob", "first1", cost=5)
    principal = await harness.login("bob", "first1")
    stored, revision = harness.source.records["bob"]
    assert stored.cost == 4
    assert principal == Principal("bob", revision)
    assert await harness.login("bob", "first1") == principal
    assert harness.rehasher.rehashes == 1
    assert harness.verifier.checks == 1
    assert harness.source.fetches["bob"] == 1


async def test_a_wrong_login_replaces_no_hash(harness):
    harness.change("bob", "first1", cost=5)
    await harness.refuses("bob", "wrong1")
    assert harness.rehasher.rehashes == 0


@pytest.mark.parametrize("error", [UnavailableError("away"), OverloadedError("busy")])
async def test_a_failed_rehash_does_not_fail_the_login(harness, error):
    revision = harness.change("bob", "first1", cost=5)
    harness.rehasher.error = error
    assert await harness.login("bob", "first1") == Principal("bob", revision)
    assert await harness.login("bob", "first1") == Principal("bob", revision)
    assert harness.verifier.checks == 1


async def test_a_rehash_that_somebody_else_made_first_is_no_failure(harness):
    harness.change("bob", "first1", cost=5)
    harness.rehasher.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.rehasher.gate.arrivals()
    harness.source.put("bob", "first1")
    harness.rehasher.gate.open()
    assert (await login).username == "bob"


async def test_a_change_during_the_rehash_refuses_the_old_password(harness):
    harness.change("bob", "first1", cost=5)
    harness.rehasher.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.rehasher.gate.arrivals()
    harness.change("bob", "second2")
    harness.rehasher.gate.open()
    with pytest.raises(WrongCredentialsError):
        await login
    assert harness.source.records["bob"][1] == harness.credentials.peek("bob").revision


async def test_a_change_right_after_the_rehash_refuses_the_old_password(harness):
    """The notice of the later change overtakes the answer to the rehash."""
    harness.change("bob", "first1", cost=5)
    rehash = harness.rehasher.rehash

    async def overtaken(username, revision, password):
        applied = await rehash(username, revision, password)
        harness.change("bob", "second2")
        return applied

    harness.rehasher.rehash = overtaken
    await harness.refuses("bob", "first1")
    assert await harness.login("bob", "second2")


async def test_roles_that_change_before_the_rehash_are_read_again(harness):
    """The notice of the earlier change comes after the answer to the rehash."""
    harness.change("bob", "first1", cost=5)
    rehash = harness.rehasher.rehash
    changed_at = []

    async def after_a_change_of_roles(username, revision, password):
        changed_at.append(harness.source.give("bob", "reader"))
        return await rehash(username, revision, password)

    harness.rehasher.rehash = after_a_change_of_roles
    await harness.login("bob", "first1")
    harness.credentials.invalidate("bob", *changed_at)
    assert (await harness.credentials.get("bob")).roles == ("reader",)


async def test_a_lease_that_is_lost_during_the_rehash_leaves_the_login_undecided(harness):
    harness.change("bob", "first1", cost=5)
    harness.rehasher.gate.close()
    login = harness.logging_in("bob", "first1")
    await harness.rehasher.gate.arrivals()
    harness.trust.valid = False
    harness.rehasher.gate.open()
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


async def outcome_of(harness, backwards):
    try:
        await harness.login("bob", backwards[::-1])
    except AuthenticationError:
        return "refused"
    return "accepted"


@pytest.mark.parametrize("outcome", ["accepted", "refused"])
async def test_no_clear_password_stays_in_memory_after_the_decision(harness, outcome):
    """Not even until the next run of the garbage collector."""
    if outcome == "accepted":
        password = hash_password(Secret(BACKWARDS[::-1]), 4)
        harness.source.records["bob"] = (password, harness.source.revision)
    gc.collect()
    gc.disable()
    try:
        assert await outcome_of(harness, BACKWARDS) == outcome

        async def nothing_holds_it():
            # bcrypt's thread and the loop let go of the job a moment after its end.
            return holders_of(BACKWARDS) == []

        await eventually(nothing_holds_it)
    finally:
        gc.enable()


@pytest.mark.parametrize("username", ["bob", "nobody", "b/b"])
async def test_no_refusal_shows_what_was_presented(harness, username):
    with pytest.raises(AuthenticationError) as refusal:
        await harness.login(username, MARKER)
    error = refusal.value
    printed = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    # The traceback quotes this file's lines, which name the marker but do not hold it.
    assert MARKER not in printed
    assert header_of(username, MARKER).decode() not in printed
    assert error.__context__ is None


# --- identities that were proven in another way -----------------------------------------


async def test_an_existing_user_is_vouched_for_without_bcrypt(harness):
    assert await harness.authenticator.vouch_for("bob") == Principal("bob", 101)
    assert harness.verifier.checks == 0


async def test_a_cached_user_is_vouched_for_without_a_fetch(harness):
    await harness.authenticator.vouch_for("bob")
    harness.clock.advance(1)
    await harness.authenticator.vouch_for("bob")
    assert harness.source.fetches["bob"] == 1


async def test_a_record_that_expires_during_the_decision_is_no_refusal(harness, monkeypatch):
    await harness.authenticator.vouch_for("bob")
    harness.clock.advance(59.5)

    def is_valid(trust, now=None):
        harness.clock.advance(1)
        return trust.valid

    monkeypatch.setattr(SwitchableTrust, "is_valid", is_valid)
    assert await harness.authenticator.vouch_for("bob") == Principal("bob", 101)


@pytest.mark.parametrize("username", ["nobody", "", "b/b", "b b"])
async def test_nobody_is_vouched_for_who_does_not_exist(harness, username):
    with pytest.raises(WrongCredentialsError):
        await harness.authenticator.vouch_for(username)
    assert set(harness.source.fetches) <= {"nobody"}


async def test_nobody_is_vouched_for_who_was_deleted(harness):
    await harness.authenticator.vouch_for("bob")
    harness.delete("bob")
    with pytest.raises(WrongCredentialsError):
        await harness.authenticator.vouch_for("bob")


async def test_nobody_is_vouched_for_without_trust(harness):
    await harness.authenticator.vouch_for("bob")
    harness.trust.valid = False
    with pytest.raises(UnavailableError):
        await harness.authenticator.vouch_for("bob")


async def test_nobody_is_vouched_for_by_a_fetch_that_lost_its_lease(harness):
    harness.source.gate.close()
    vouching = asyncio.create_task(harness.authenticator.vouch_for("bob"))
    await harness.source.gate.arrivals()
    harness.trust.valid = False
    harness.source.gate.open()
    with pytest.raises(UnavailableError):
        await vouching


async def test_nobody_is_vouched_for_by_a_record_that_is_revoked_at_the_last_moment(harness):
    fetch = harness.source.fetch

    async def overtaken(username):
        credential = await fetch(username)
        harness.source.fetch = fetch
        # After the fetch has ended and before its waiting callers learn of it.
        asyncio.get_running_loop().call_soon(harness.delete, "bob")
        return credential

    harness.source.fetch = overtaken
    with pytest.raises(WrongCredentialsError):
        await harness.authenticator.vouch_for("bob")


async def test_vouching_for_a_record_that_never_stops_changing_is_no_endless_work(harness):
    fetch = harness.source.fetch

    async def overtaken(username):
        credential = await fetch(username)
        asyncio.get_running_loop().call_soon(harness.change, "bob", "second2")
        return credential

    harness.source.fetch = overtaken
    with pytest.raises(OverloadedError):
        await harness.authenticator.vouch_for("bob")
