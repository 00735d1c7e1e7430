import asyncio

import pytest

from tests.support.credentials import (
    ManualClock,
    encoded,
    hashed,
    header_of,
    login_settings,
    observed_authentication,
)
from tests.support.directory import MemoryDirectory
from vecguard.errors import InvalidParameterError, OverloadedError, UnavailableError
from vecguard.passwords import PasswordScheme, verify_password
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.configured import accounts, permissions
from vecguard.proxy.accounts.errors import (
    InvalidAccountError,
    RootProtectedError,
    UserExistsError,
    UserLimitError,
    UserNotFoundError,
    WrongOldPasswordError,
)
from vecguard.proxy.authentication.errors import (
    LoginLimitedError,
    RevokedError,
    WrongCredentialsError,
)
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.secret import Secret

BURST = 3
NOBODY = Caller(ANONYMOUS)


def user(username, revision=7, **options):
    return Caller(Principal(username, revision), **options)


ROOT, BOB, EVE, SUPER = user("root"), user("bob"), user("eve"), user("super")


SETTINGS = login_settings(
    authentication={"login_limits": {"pair_burst": BURST}},
    common={"security": {"super_users": ("super",), "allow_anonymous_changes": True}},
    proxy={"max_user_description_length": 20},
)


class AccountsHarness:
    def __init__(self, *, notices=True):
        self.clock = ManualClock()
        self.directory = MemoryDirectory(user_limit=10)
        self.authentication = observed_authentication(
            self.directory, settings=SETTINGS, clock=self.clock
        )
        self.credentials = self.authentication.credentials
        self.verifier = self.authentication.verifier
        self.judge = self.authentication.authenticator
        if notices:
            self.directory.on_change = self.credentials.invalidate
        changes = Changes(permissions(SETTINGS), self.credentials.forget)
        self.accounts = accounts(SETTINGS, self.directory, self.authentication, changes)

    def close(self):
        self.authentication.close()

    async def create(self, actor, username, password="first1", description=""):
        await self.accounts.create(actor, username, encoded(password), description)

    async def update(self, actor, username, new="", *, old="", description=None):
        await self.accounts.update(
            actor,
            username,
            old_password=encoded(old),
            new_password=encoded(new),
            description=description,
        )

    async def log_in(self, username, password):
        await self.judge.authenticate([header_of(username, password)])

    def stored(self, username):
        return self.directory.store.users[username]

    def has_password(self, username, password):
        return verify_password(Secret(password), self.stored(username).password)


@pytest.fixture
async def harness():
    harness = AccountsHarness()
    for username in ("root", "bob", "eve", "super"):
        await harness.directory.add(username, f"{username}-first1")
    yield harness
    harness.close()


# --- creating ---------------------------------------------------------------------------


async def test_an_administrator_creates_users(harness):
    for number, actor in enumerate((ROOT, SUPER, NOBODY)):
        await harness.create(actor, f"new{number}", description="a friend")
        assert harness.has_password(f"new{number}", "first1")
        assert harness.stored(f"new{number}").description == "a friend"


async def test_the_hash_is_made_here_at_the_configured_cost(harness):
    await harness.create(ROOT, "new")
    assert harness.stored("new").password.cost == 4


async def test_a_long_password_is_stored_whole(harness):
    await harness.create(ROOT, "new", "x" * 256)
    assert harness.stored("new").password.scheme is PasswordScheme.BCRYPT_SHA256
    assert harness.has_password("new", "x" * 256)
    assert not harness.has_password("new", "x" * 255)


async def test_white_space_around_the_name_is_dropped(harness):
    await harness.create(ROOT, "  new\t")
    assert "new" in harness.directory.store.users


@pytest.mark.parametrize("username", ["", "1a", "a-b", "u" * 33, "a b"])
async def test_a_name_against_the_rules_is_refused(harness, username):
    with pytest.raises(InvalidParameterError):
        await harness.create(ROOT, username)
    assert harness.directory.changes == []


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
async def test_a_password_against_the_rules_is_refused(harness, password):
    with pytest.raises(InvalidParameterError, match="invalid password length"):
        await harness.create(ROOT, "new", password)
    assert harness.directory.changes == []


async def test_a_taken_name_is_refused_in_milvus_words(harness):
    with pytest.raises(UserExistsError) as refusal:
        await harness.create(ROOT, "bob", "other-password")
    assert refusal.value.message == "user already exists: bob: invalid parameter"
    assert (refusal.value.code, refusal.value.legacy) == (1100, 29)
    assert harness.has_password("bob", "bob-first1")


async def test_one_user_too_many_is_refused_in_milvus_words(harness):
    for number in range(6):
        await harness.create(ROOT, f"new{number}")
    with pytest.raises(UserLimitError) as refusal:
        await harness.create(ROOT, "new")
    assert refusal.value.message == (
        "unable to add user because the number of users has reached the limit"
    )
    assert (refusal.value.code, refusal.value.legacy) == (9, 29)


@pytest.mark.parametrize(("description", "length"), [("x" * 21, 21), ("é" * 11, 22)])
async def test_a_description_counts_in_bytes(harness, description, length):
    for change in (
        harness.create(ROOT, "new", description=description),
        harness.update(ROOT, "bob", description=description),
    ):
        with pytest.raises(InvalidAccountError) as refusal:
            await change
        assert f"[{length} out of range 0 <= value <= 20]" in refusal.value.message
    assert harness.directory.changes == []


async def test_a_description_of_just_the_limit_is_kept(harness):
    await harness.create(ROOT, "new", description="é" * 10)
    assert harness.stored("new").description == "é" * 10


# --- changing ---------------------------------------------------------------------------


async def test_everybody_changes_the_own_password_with_the_old_one(harness):
    await harness.update(BOB, "bob", "second2", old="bob-first1")
    assert harness.has_password("bob", "second2")


@pytest.mark.parametrize("old", ["", "wrong", "bob-first1 ", "Bob-first1", "second2"])
async def test_without_the_right_old_password_nothing_changes(harness, old):
    with pytest.raises(WrongOldPasswordError) as refusal:
        await harness.update(BOB, "bob", "second2", old=old)
    assert refusal.value.message == "old password not correct for bob: not authenticated"
    assert (refusal.value.code, refusal.value.legacy) == (1400, 1)
    assert harness.has_password("bob", "bob-first1")


@pytest.mark.parametrize("old", ["", "wrong"])
async def test_a_user_whom_the_relay_lets_change_others_needs_their_old_passwords(harness, old):
    with pytest.raises(WrongOldPasswordError):
        await harness.update(EVE, "bob", "second2", old=old)
    await harness.update(EVE, "bob", "second2", old="bob-first1")
    assert harness.has_password("bob", "second2")


@pytest.mark.parametrize("actor", [ROOT, SUPER, NOBODY])
async def test_administrators_reset_others_without_the_old_one(harness, actor):
    await harness.update(actor, "bob", "second2")
    assert harness.has_password("bob", "second2")
    assert harness.verifier.checks == 0


@pytest.mark.parametrize("actor", [ROOT, NOBODY])
@pytest.mark.parametrize("username", ["bob", "root", "ghost"])
async def test_an_old_password_that_is_given_is_checked_for_every_caller(harness, actor, username):
    with pytest.raises(WrongOldPasswordError) as refusal:
        await harness.update(actor, username, "second2", old="wrong")
    assert refusal.value.message == f"old password not correct for {username}: not authenticated"
    with pytest.raises(WrongOldPasswordError):
        await harness.update(actor, username, description="x", old="wrong")
    assert harness.directory.changes == []


async def test_root_changes_another_password_with_the_right_old_one(harness):
    await harness.update(ROOT, "bob", "second2", old="bob-first1")
    assert harness.has_password("bob", "second2")


async def test_the_old_password_that_a_super_user_gives_is_not_checked(harness):
    await harness.update(SUPER, "bob", "second2", old="wrong")
    assert harness.has_password("bob", "second2")
    assert harness.verifier.checks == 0


async def test_root_shows_its_own_old_password(harness):
    with pytest.raises(WrongOldPasswordError):
        await harness.update(ROOT, "root", "second2")
    await harness.update(ROOT, "root", "second2", old="root-first1")
    assert harness.has_password("root", "second2")


async def test_a_super_user_resets_itself_and_root(harness):
    await harness.update(SUPER, "super", "second2")
    await harness.update(SUPER, "root", "second2")
    assert harness.has_password("root", "second2")


async def test_an_administrator_hears_that_there_is_no_such_user(harness):
    for change in (
        harness.update(ROOT, "nobody", "second2"),
        harness.update(ROOT, "nobody", description="x"),
        harness.update(ROOT, "no/body", "second2"),
    ):
        with pytest.raises(UserNotFoundError) as refusal:
            await change
        assert refusal.value.message == "failed to check if update credential: user not found"
        assert (refusal.value.code, refusal.value.legacy) == (65535, 30)


@pytest.mark.parametrize("username", ["ghost", "gh/ost", "é"])
async def test_somebody_who_was_deleted_meanwhile_hears_that_the_old_password_is_wrong(
    harness, username
):
    with pytest.raises(WrongOldPasswordError):
        await harness.update(user(username), username, "second2", old="first1")


async def test_nothing_to_change_is_refused_in_milvus_words(harness):
    with pytest.raises(InvalidAccountError) as refusal:
        await harness.update(BOB, "bob", old="bob-first1")
    assert refusal.value.message == "must update either password or description: invalid parameter"
    assert (refusal.value.code, refusal.value.legacy) == (1100, 5)


@pytest.mark.parametrize("new", ["short", "x" * 257])
async def test_a_new_password_against_the_rules_is_refused(harness, new):
    with pytest.raises(InvalidParameterError):
        await harness.update(BOB, "bob", new, old="bob-first1")
    assert harness.has_password("bob", "bob-first1")


async def test_a_description_alone_needs_no_old_password_and_keeps_the_password(harness):
    await harness.update(BOB, "bob", description="me")
    assert harness.stored("bob").description == "me"
    assert harness.has_password("bob", "bob-first1")


async def test_a_password_beside_a_description_needs_the_old_one(harness):
    with pytest.raises(WrongOldPasswordError):
        await harness.update(BOB, "bob", "second2", description="me")
    assert harness.stored("bob").description == ""


async def test_a_password_may_be_changed_to_itself(harness):
    await harness.update(BOB, "bob", "bob-first1", old="bob-first1")
    assert harness.has_password("bob", "bob-first1")


async def test_an_old_password_of_more_than_72_bytes_is_compared_whole(harness):
    await harness.update(ROOT, "bob", "x" * 100)
    with pytest.raises(WrongOldPasswordError):
        await harness.update(BOB, "bob", "second2", old="x" * 72)
    await harness.update(BOB, "bob", "second2", old="x" * 100)


async def test_wrong_old_passwords_are_limited_by_the_user_who_shows_them(harness):
    for number in range(3):
        with pytest.raises(WrongOldPasswordError):
            await harness.update(BOB, "bob", "second2", old=f"guess-{number}")
    checks = harness.verifier.checks
    with pytest.raises(LoginLimitedError) as refusal:
        await harness.update(BOB, "bob", "second2", old="bob-first1")
    assert refusal.value.retry_after_seconds > 0
    assert harness.verifier.checks == checks
    # Another address makes no difference.
    with pytest.raises(LoginLimitedError):
        await harness.update(user("bob", host="192.0.2.9"), "bob", "second2", old="guess-4")
    await harness.update(ROOT, "bob", "second2")
    assert harness.has_password("bob", "second2")


async def test_wrong_logins_of_others_keep_no_user_from_changing_a_password(harness):
    for number in range(3):
        with pytest.raises(WrongCredentialsError):
            await harness.log_in("bob", f"guess-{number}")
    with pytest.raises(LoginLimitedError):
        await harness.log_in("bob", "bob-first1")
    await harness.update(BOB, "bob", "second2", old="bob-first1")
    assert harness.has_password("bob", "second2")


async def test_without_authorization_old_passwords_count_as_logins_from_there(harness):
    for number in range(3):
        with pytest.raises(WrongOldPasswordError):
            await harness.update(NOBODY, "bob", "second2", old=f"guess-{number}")
    with pytest.raises(LoginLimitedError):
        await harness.update(NOBODY, "bob", "second2", old="bob-first1")
    with pytest.raises(LoginLimitedError):
        await harness.log_in("bob", "bob-first1")


async def test_whoever_is_logged_in_changes_the_password_whatever_others_have_guessed(harness):
    await harness.log_in("bob", "bob-first1")
    for number in range(3):
        with pytest.raises(WrongOldPasswordError):
            await harness.update(BOB, "bob", "second2", old=f"guess-{number}")
    await harness.update(BOB, "bob", "second2", old="bob-first1")
    assert harness.has_password("bob", "second2")


async def test_one_wrong_old_password_that_is_repeated_is_refused_from_memory(harness):
    for _ in range(10):
        with pytest.raises(WrongOldPasswordError):
            await harness.update(BOB, "bob", "second2", old="guess-0")
    assert harness.verifier.checks == 1


# --- changing while others do -----------------------------------------------------------


async def test_of_two_changes_from_one_old_password_exactly_one_succeeds(harness):
    harness.directory.gate.close()
    updates = [
        asyncio.create_task(harness.update(BOB, "bob", f"second{number}", old="bob-first1"))
        for number in range(2)
    ]
    await harness.directory.gate.arrivals(2)
    harness.directory.gate.open()
    results = await asyncio.gather(*updates, return_exceptions=True)
    failures = [result for result in results if result is not None]
    assert [type(failure) for failure in failures] == [WrongOldPasswordError]
    winner = results.index(None)
    assert harness.has_password("bob", f"second{winner}")


async def test_a_change_that_came_first_refuses_even_when_no_notice_told_of_it():
    harness = AccountsHarness(notices=False)
    await harness.directory.add("bob", "first1")
    await harness.credentials.get("bob")
    await harness.directory.store.update(
        "bob", expected_revision=None, password=hashed("second2"), description=None
    )
    with pytest.raises(WrongOldPasswordError):
        await harness.update(BOB, "bob", "third3", old="first1")
    assert harness.has_password("bob", "second2")
    harness.close()


async def test_an_unnoticed_change_does_not_hide_the_right_old_password():
    harness = AccountsHarness(notices=False)
    await harness.directory.add("bob", "first1")
    await harness.credentials.get("bob")
    await harness.directory.store.update(
        "bob", expected_revision=None, password=hashed("second2"), description=None
    )
    harness.clock.advance(1)
    await harness.update(BOB, "bob", "third3", old="second2")
    assert harness.has_password("bob", "third3")
    harness.close()


async def test_a_change_of_the_record_that_keeps_the_password_is_no_obstacle(harness):
    """A rehash or a new description elsewhere changes the revision and not the password."""
    await harness.credentials.get("bob")
    await harness.directory.store.update(
        "bob", expected_revision=None, password=None, description="elsewhere"
    )
    await harness.update(BOB, "bob", "second2", old="bob-first1")
    assert harness.has_password("bob", "second2")
    assert harness.stored("bob").description == "elsewhere"


async def test_a_record_that_never_stops_changing_is_no_endless_work(harness):
    update = harness.directory.store.update

    async def overtaken(username, **options):
        await update(username, expected_revision=None, password=None, description="again")
        return await update(username, **options)

    harness.directory.store.update = overtaken
    with pytest.raises(OverloadedError):
        await harness.update(BOB, "bob", "second2", old="bob-first1")


async def test_a_deletion_between_check_and_change_hears_that_the_old_password_is_wrong(harness):
    harness.directory.gate.close()
    update = asyncio.create_task(harness.update(BOB, "bob", "second2", old="bob-first1"))
    await harness.directory.gate.arrivals()
    await harness.directory.store.delete("bob")
    harness.directory.gate.open()
    with pytest.raises(WrongOldPasswordError):
        await update
    assert "bob" not in harness.directory.store.users


async def test_an_unreachable_root_coord_is_no_wrong_password(harness):
    async def unreachable(username):
        raise UnavailableError("away")

    harness.directory.fetch = unreachable
    with pytest.raises(UnavailableError):
        await harness.update(BOB, "bob", "second2", old="bob-first1")


# --- deleting, listing, describing ------------------------------------------------------


@pytest.mark.parametrize("actor", [ROOT, SUPER, NOBODY])
async def test_administrators_delete(harness, actor):
    await harness.accounts.delete(actor, "bob")
    assert "bob" not in harness.directory.store.users


async def test_a_deletion_needs_a_name(harness):
    with pytest.raises(InvalidAccountError) as refusal:
        await harness.accounts.delete(ROOT, "")
    assert refusal.value.message == "username must be not empty: invalid parameter"


@pytest.mark.parametrize("username", ["nobody", "no/body"])
async def test_deleting_nobody_is_a_success(harness, username):
    await harness.accounts.delete(ROOT, username)
    assert len(harness.directory.store.users) == 4


@pytest.mark.parametrize("username", ["x" * 256, "x" * 30_000, "no/body", "имя", "a b"])
async def test_a_name_that_no_store_holds_is_deleted_without_root_coord(harness, username):
    harness.directory.delete = None  # a call would fail
    assert await harness.accounts.delete(ROOT, username) is None


@pytest.mark.parametrize("actor", [ROOT, SUPER, NOBODY])
async def test_root_is_protected(harness, actor):
    with pytest.raises(RootProtectedError) as refusal:
        await harness.accounts.delete(actor, "root")
    assert refusal.value.message == "root user cannot be deleted: privilege not permitted"
    assert (refusal.value.code, refusal.value.legacy) == (1401, 1)
    assert harness.directory.changes == []


async def test_administrators_list_everybody(harness):
    users = await harness.accounts.list_users()
    assert [user.username for user in users] == ["bob", "eve", "root", "super"]


async def test_one_user_or_all_are_described(harness):
    assert [user.username for user in await harness.accounts.describe("bob")] == ["bob"]
    assert len(await harness.accounts.describe(None)) == 4
    assert await harness.accounts.describe("nobody") == []


@pytest.mark.parametrize("change", ["create", "update", "delete"])
async def test_a_change_whose_actor_was_revoked_meanwhile_is_refused_as_a_login_is(harness, change):
    harness.directory.judges_actors = True
    revision = (await harness.credentials.get("super")).revision
    actor = user("super", revision)
    harness.directory.on_change = lambda username, revision: None  # the notice is late
    await harness.directory.store.update(
        "super", expected_revision=None, password=hashed("second2"), description=None
    )
    calls = {
        "create": lambda: harness.create(actor, "new"),
        "update": lambda: harness.update(actor, "bob", "second2"),
        "delete": lambda: harness.accounts.delete(actor, "bob"),
    }
    with pytest.raises(RevokedError):
        await calls[change]()
    assert harness.has_password("bob", "bob-first1")
    # The next login is judged by the newest record.
    assert harness.credentials.peek("super") is None
