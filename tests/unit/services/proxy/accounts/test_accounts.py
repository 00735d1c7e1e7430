import asyncio

import pytest

from tests.support.credentials import (
    ManualClock,
    hashed,
    header_of,
    login_settings,
    observed_authentication,
)
from tests.support.directory import MemoryDirectory
from vecguard.errors import InvalidParameterError, OverloadedError, UnavailableError
from vecguard.passwords import PasswordScheme, verify_password
from vecguard.proxy.accounts.configured import accounts
from vecguard.proxy.accounts.errors import (
    InvalidAccountError,
    PermissionDeniedError,
    RootProtectedError,
    UserExistsError,
    UserLimitError,
    UserNotFoundError,
    WrongOldPasswordError,
)
from vecguard.proxy.accounts.permissions import Actor
from vecguard.proxy.authentication.errors import (
    LoginLimitedError,
    RevokedError,
    WrongCredentialsError,
)
from vecguard.secret import Secret

BURST = 3
ROOT, BOB, EVE = Actor("root", "default"), Actor("bob", "default"), Actor("eve", "default")
SUPER = Actor("super", "default")


SETTINGS = login_settings(
    authentication={"login_limits": {"pair_burst": BURST}},
    common={"security": {"super_users": ("super",), "allow_anonymous_changes": True}},
    proxy={"max_user_description_length": 20},
)


class Office:
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
        self.accounts = accounts(SETTINGS, self.directory, self.authentication)

    def close(self):
        self.authentication.close()

    async def create(self, actor, username, password="first1", description=""):
        await self.accounts.create(actor, username, Secret(password), description)

    async def update(self, actor, username, new=None, *, old="", description=None):
        await self.accounts.update(
            actor,
            username,
            old_password=Secret(old),
            new_password=Secret(new) if new is not None else None,
            description=description,
        )

    async def log_in(self, username, password):
        await self.judge.authenticate([header_of(username, password)])

    def stored(self, username):
        return self.directory.store.users[username]

    def has_password(self, username, password):
        return verify_password(Secret(password), self.stored(username).password)


@pytest.fixture
async def office():
    office = Office()
    for username in ("root", "bob", "eve", "super"):
        await office.directory.add(username, f"{username}-first1")
    yield office
    office.close()


# --- creating ---------------------------------------------------------------------------


async def test_an_administrator_creates_users(office):
    for number, actor in enumerate((ROOT, SUPER, Actor(None, "default"))):
        await office.create(actor, f"new{number}", description="a friend")
        assert office.has_password(f"new{number}", "first1")
        assert office.stored(f"new{number}").description == "a friend"


async def test_the_hash_is_made_here_at_the_configured_cost(office):
    await office.create(ROOT, "new")
    assert office.stored("new").password.cost == 4


async def test_a_long_password_is_stored_whole(office):
    await office.create(ROOT, "new", "x" * 256)
    assert office.stored("new").password.scheme is PasswordScheme.BCRYPT_SHA256
    assert office.has_password("new", "x" * 256)
    assert not office.has_password("new", "x" * 255)


async def test_white_space_around_the_name_is_dropped(office):
    await office.create(ROOT, "  new\t")
    assert "new" in office.directory.store.users


async def test_others_create_nobody(office):
    with pytest.raises(PermissionDeniedError):
        await office.create(BOB, "new")
    with pytest.raises(PermissionDeniedError):
        await office.create(BOB, "bob")
    assert office.directory.changes == []


@pytest.mark.parametrize("username", ["", "1a", "a-b", "u" * 33, "a b"])
async def test_a_name_against_the_rules_is_refused(office, username):
    with pytest.raises(InvalidParameterError):
        await office.create(ROOT, username)
    assert office.directory.changes == []


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
async def test_a_password_against_the_rules_is_refused(office, password):
    with pytest.raises(InvalidParameterError, match="invalid password length"):
        await office.create(ROOT, "new", password)
    assert office.directory.changes == []


async def test_a_taken_name_is_refused_in_milvus_words(office):
    with pytest.raises(UserExistsError) as refusal:
        await office.create(ROOT, "bob", "other-password")
    assert refusal.value.message == "user already exists: bob: invalid parameter"
    assert (refusal.value.code, refusal.value.legacy) == (1100, 29)
    assert office.has_password("bob", "bob-first1")


async def test_one_user_too_many_is_refused_in_milvus_words(office):
    for number in range(6):
        await office.create(ROOT, f"new{number}")
    with pytest.raises(UserLimitError) as refusal:
        await office.create(ROOT, "new")
    assert refusal.value.message == (
        "unable to add user because the number of users has reached the limit"
    )
    assert (refusal.value.code, refusal.value.legacy) == (9, 29)


@pytest.mark.parametrize(("description", "length"), [("x" * 21, 21), ("é" * 11, 22)])
async def test_a_description_counts_in_bytes(office, description, length):
    for change in (
        office.create(ROOT, "new", description=description),
        office.update(ROOT, "bob", description=description),
    ):
        with pytest.raises(InvalidAccountError) as refusal:
            await change
        assert f"[{length} out of range 0 <= value <= 20]" in refusal.value.message
    assert office.directory.changes == []


async def test_a_description_of_just_the_limit_is_kept(office):
    await office.create(ROOT, "new", description="é" * 10)
    assert office.stored("new").description == "é" * 10


# --- changing ---------------------------------------------------------------------------


async def test_everybody_changes_the_own_password_with_the_old_one(office):
    await office.update(BOB, "bob", "second2", old="bob-first1")
    assert office.has_password("bob", "second2")


@pytest.mark.parametrize("old", ["", "wrong", "bob-first1 ", "Bob-first1", "second2"])
async def test_without_the_right_old_password_nothing_changes(office, old):
    with pytest.raises(WrongOldPasswordError) as refusal:
        await office.update(BOB, "bob", "second2", old=old)
    assert refusal.value.message == "old password not correct for bob: not authenticated"
    assert (refusal.value.code, refusal.value.legacy) == (1400, 1)
    assert office.has_password("bob", "bob-first1")


async def test_nobody_else_changes_a_password_not_even_with_the_old_one(office):
    with pytest.raises(PermissionDeniedError) as refusal:
        await office.update(EVE, "bob", "second2", old="bob-first1")
    assert refusal.value.message == (
        "PrivilegeUpdateUser: permission deny to eve in the `default` database"
    )
    assert office.verifier.checks == 0


@pytest.mark.parametrize("actor", [ROOT, SUPER, Actor(None, "default")])
async def test_administrators_reset_others_without_the_old_one(office, actor):
    await office.update(actor, "bob", "second2")
    assert office.has_password("bob", "second2")
    assert office.verifier.checks == 0


@pytest.mark.parametrize("actor", [ROOT, Actor(None, "default")])
@pytest.mark.parametrize("username", ["bob", "root", "ghost"])
async def test_an_old_password_that_is_given_is_checked_for_every_caller(office, actor, username):
    with pytest.raises(WrongOldPasswordError) as refusal:
        await office.update(actor, username, "second2", old="wrong")
    assert refusal.value.message == f"old password not correct for {username}: not authenticated"
    with pytest.raises(WrongOldPasswordError):
        await office.update(actor, username, description="x", old="wrong")
    assert office.directory.changes == []


async def test_root_changes_another_password_with_the_right_old_one(office):
    await office.update(ROOT, "bob", "second2", old="bob-first1")
    assert office.has_password("bob", "second2")


async def test_the_old_password_that_a_super_user_gives_is_not_checked(office):
    await office.update(SUPER, "bob", "second2", old="wrong")
    assert office.has_password("bob", "second2")
    assert office.verifier.checks == 0


async def test_root_shows_its_own_old_password(office):
    with pytest.raises(WrongOldPasswordError):
        await office.update(ROOT, "root", "second2")
    await office.update(ROOT, "root", "second2", old="root-first1")
    assert office.has_password("root", "second2")


async def test_a_super_user_resets_itself_and_root(office):
    await office.update(SUPER, "super", "second2")
    await office.update(SUPER, "root", "second2")
    assert office.has_password("root", "second2")


async def test_an_administrator_hears_that_there_is_no_such_user(office):
    for change in (
        office.update(ROOT, "nobody", "second2"),
        office.update(ROOT, "nobody", description="x"),
        office.update(ROOT, "no/body", "second2"),
    ):
        with pytest.raises(UserNotFoundError) as refusal:
            await change
        assert refusal.value.message == "failed to check if update credential: user not found"
        assert (refusal.value.code, refusal.value.legacy) == (65535, 30)


@pytest.mark.parametrize("username", ["ghost", "gh/ost", "é"])
async def test_somebody_who_was_deleted_meanwhile_hears_that_the_old_password_is_wrong(
    office, username
):
    with pytest.raises(WrongOldPasswordError):
        await office.update(Actor(username, "default"), username, "second2", old="first1")


async def test_nothing_to_change_is_refused_in_milvus_words(office):
    with pytest.raises(InvalidAccountError) as refusal:
        await office.update(BOB, "bob", old="bob-first1")
    assert refusal.value.message == "must update either password or description: invalid parameter"
    assert (refusal.value.code, refusal.value.legacy) == (1100, 5)


@pytest.mark.parametrize("new", ["", "short", "x" * 257])
async def test_a_new_password_against_the_rules_is_refused(office, new):
    with pytest.raises(InvalidParameterError):
        await office.update(BOB, "bob", new, old="bob-first1")
    assert office.has_password("bob", "bob-first1")


async def test_a_description_alone_needs_no_old_password_and_keeps_the_password(office):
    await office.update(BOB, "bob", description="me")
    assert office.stored("bob").description == "me"
    assert office.has_password("bob", "bob-first1")


async def test_nobody_else_changes_a_description(office):
    with pytest.raises(PermissionDeniedError):
        await office.update(EVE, "bob", description="not me")


async def test_a_password_beside_a_description_needs_the_old_one(office):
    with pytest.raises(WrongOldPasswordError):
        await office.update(BOB, "bob", "second2", description="me")
    assert office.stored("bob").description == ""


async def test_a_password_may_be_changed_to_itself(office):
    await office.update(BOB, "bob", "bob-first1", old="bob-first1")
    assert office.has_password("bob", "bob-first1")


async def test_an_old_password_of_more_than_72_bytes_is_compared_whole(office):
    await office.update(ROOT, "bob", "x" * 100)
    with pytest.raises(WrongOldPasswordError):
        await office.update(BOB, "bob", "second2", old="x" * 72)
    await office.update(BOB, "bob", "second2", old="x" * 100)


async def test_wrong_old_passwords_are_limited_by_the_user_who_shows_them(office):
    for number in range(3):
        with pytest.raises(WrongOldPasswordError):
            await office.update(BOB, "bob", "second2", old=f"guess-{number}")
    checks = office.verifier.checks
    with pytest.raises(LoginLimitedError) as refusal:
        await office.update(BOB, "bob", "second2", old="bob-first1")
    assert refusal.value.retry_after_seconds > 0
    assert office.verifier.checks == checks
    # Another address makes no difference.
    with pytest.raises(LoginLimitedError):
        await office.update(Actor("bob", "default", "192.0.2.9"), "bob", "second2", old="guess-4")
    await office.update(ROOT, "bob", "second2")
    assert office.has_password("bob", "second2")


async def test_wrong_logins_of_others_keep_no_user_from_changing_a_password(office):
    for number in range(3):
        with pytest.raises(WrongCredentialsError):
            await office.log_in("bob", f"guess-{number}")
    with pytest.raises(LoginLimitedError):
        await office.log_in("bob", "bob-first1")
    await office.update(BOB, "bob", "second2", old="bob-first1")
    assert office.has_password("bob", "second2")


async def test_without_authorization_old_passwords_count_as_logins_from_there(office):
    anybody = Actor(None, "default")
    for number in range(3):
        with pytest.raises(WrongOldPasswordError):
            await office.update(anybody, "bob", "second2", old=f"guess-{number}")
    with pytest.raises(LoginLimitedError):
        await office.update(anybody, "bob", "second2", old="bob-first1")
    with pytest.raises(LoginLimitedError):
        await office.log_in("bob", "bob-first1")


async def test_whoever_is_logged_in_changes_the_password_whatever_others_have_guessed(office):
    await office.log_in("bob", "bob-first1")
    for number in range(3):
        with pytest.raises(WrongOldPasswordError):
            await office.update(BOB, "bob", "second2", old=f"guess-{number}")
    await office.update(BOB, "bob", "second2", old="bob-first1")
    assert office.has_password("bob", "second2")


async def test_one_wrong_old_password_that_is_repeated_is_refused_from_memory(office):
    for _ in range(10):
        with pytest.raises(WrongOldPasswordError):
            await office.update(BOB, "bob", "second2", old="guess-0")
    assert office.verifier.checks == 1


# --- changing while others do -----------------------------------------------------------


async def test_of_two_changes_from_one_old_password_exactly_one_succeeds(office):
    office.directory.gate.close()
    updates = [
        asyncio.create_task(office.update(BOB, "bob", f"second{number}", old="bob-first1"))
        for number in range(2)
    ]
    await office.directory.gate.arrivals(2)
    office.directory.gate.open()
    results = await asyncio.gather(*updates, return_exceptions=True)
    failures = [result for result in results if result is not None]
    assert [type(failure) for failure in failures] == [WrongOldPasswordError]
    winner = results.index(None)
    assert office.has_password("bob", f"second{winner}")


async def test_a_change_that_came_first_refuses_even_when_no_notice_told_of_it():
    office = Office(notices=False)
    await office.directory.add("bob", "first1")
    await office.credentials.get("bob")
    await office.directory.store.update(
        "bob", expected_revision=None, password=hashed("second2"), description=None
    )
    with pytest.raises(WrongOldPasswordError):
        await office.update(BOB, "bob", "third3", old="first1")
    assert office.has_password("bob", "second2")
    office.close()


async def test_an_unnoticed_change_does_not_hide_the_right_old_password():
    office = Office(notices=False)
    await office.directory.add("bob", "first1")
    await office.credentials.get("bob")
    await office.directory.store.update(
        "bob", expected_revision=None, password=hashed("second2"), description=None
    )
    office.clock.advance(1)
    await office.update(BOB, "bob", "third3", old="second2")
    assert office.has_password("bob", "third3")
    office.close()


async def test_a_change_of_the_record_that_keeps_the_password_is_no_obstacle(office):
    """A rehash or a new description elsewhere changes the revision and not the password."""
    await office.credentials.get("bob")
    await office.directory.store.update(
        "bob", expected_revision=None, password=None, description="elsewhere"
    )
    await office.update(BOB, "bob", "second2", old="bob-first1")
    assert office.has_password("bob", "second2")
    assert office.stored("bob").description == "elsewhere"


async def test_a_record_that_never_stops_changing_is_no_endless_work(office):
    update = office.directory.store.update

    async def overtaken(username, **options):
        await update(username, expected_revision=None, password=None, description="again")
        return await update(username, **options)

    office.directory.store.update = overtaken
    with pytest.raises(OverloadedError):
        await office.update(BOB, "bob", "second2", old="bob-first1")


async def test_a_deletion_between_check_and_change_hears_that_the_old_password_is_wrong(office):
    office.directory.gate.close()
    update = asyncio.create_task(office.update(BOB, "bob", "second2", old="bob-first1"))
    await office.directory.gate.arrivals()
    await office.directory.store.delete("bob")
    office.directory.gate.open()
    with pytest.raises(WrongOldPasswordError):
        await update
    assert "bob" not in office.directory.store.users


async def test_an_unreachable_root_coord_is_no_wrong_password(office):
    async def unreachable(username):
        raise UnavailableError("away")

    office.directory.fetch = unreachable
    with pytest.raises(UnavailableError):
        await office.update(BOB, "bob", "second2", old="bob-first1")


# --- deleting, listing, describing ------------------------------------------------------


@pytest.mark.parametrize("actor", [ROOT, SUPER, Actor(None, "default")])
async def test_administrators_delete(office, actor):
    await office.accounts.delete(actor, "bob")
    assert "bob" not in office.directory.store.users


async def test_a_deletion_needs_a_name(office):
    with pytest.raises(InvalidAccountError) as refusal:
        await office.accounts.delete(ROOT, "")
    assert refusal.value.message == "username must be not empty: invalid parameter"


@pytest.mark.parametrize("username", ["nobody", "no/body"])
async def test_deleting_nobody_is_a_success(office, username):
    await office.accounts.delete(ROOT, username)
    assert len(office.directory.store.users) == 4


@pytest.mark.parametrize("username", ["x" * 256, "x" * 30_000, "no/body", "имя", "a b"])
async def test_a_name_that_no_store_holds_is_deleted_without_root_coord(office, username):
    office.directory.delete = None  # a call would fail
    assert await office.accounts.delete(ROOT, username) is None


async def test_others_delete_nobody_not_even_themselves(office):
    for username in ("eve", "bob", "root", "nobody"):
        with pytest.raises(PermissionDeniedError) as refusal:
            await office.accounts.delete(BOB, username)
        assert refusal.value.message.startswith("PrivilegeDropOwnership: ")


@pytest.mark.parametrize("actor", [ROOT, SUPER, Actor(None, "default")])
async def test_root_is_protected(office, actor):
    with pytest.raises(RootProtectedError) as refusal:
        await office.accounts.delete(actor, "root")
    assert refusal.value.message == "root user cannot be deleted: privilege not permitted"
    assert (refusal.value.code, refusal.value.legacy) == (1401, 1)
    assert office.directory.changes == []


async def test_administrators_list_everybody(office):
    for actor in (ROOT, SUPER, Actor(None, "default")):
        users = await office.accounts.list_users(actor)
        assert [user.username for user in users] == ["bob", "eve", "root", "super"]


async def test_others_list_nobody(office):
    with pytest.raises(PermissionDeniedError) as refusal:
        await office.accounts.list_users(BOB)
    assert refusal.value.message.startswith("PrivilegeSelectOwnership: ")


async def test_everybody_describes_themselves_and_administrators_everybody(office):
    assert [user.username for user in await office.accounts.describe(BOB, "bob")] == ["bob"]
    assert [user.username for user in await office.accounts.describe(ROOT, "bob")] == ["bob"]
    assert len(await office.accounts.describe(ROOT, None)) == 4
    assert await office.accounts.describe(ROOT, "nobody") == []


@pytest.mark.parametrize("target", [None, "eve", "root", "nobody", ""])
async def test_others_describe_nobody_else(office, target):
    with pytest.raises(PermissionDeniedError) as refusal:
        await office.accounts.describe(BOB, target)
    assert refusal.value.message.startswith("PrivilegeSelectUser: ")


@pytest.mark.parametrize("change", ["create", "update", "delete"])
async def test_a_change_whose_actor_was_revoked_meanwhile_is_refused_as_a_login_is(office, change):
    office.directory.judges_actors = True
    revision = (await office.credentials.get("super")).revision
    actor = Actor("super", "default", revision=revision)
    office.directory.on_change = lambda username, revision: None  # the notice is late
    await office.directory.store.update(
        "super", expected_revision=None, password=hashed("second2"), description=None
    )
    calls = {
        "create": lambda: office.create(actor, "new"),
        "update": lambda: office.update(actor, "bob", "second2"),
        "delete": lambda: office.accounts.delete(actor, "bob"),
    }
    with pytest.raises(RevokedError):
        await calls[change]()
    assert office.has_password("bob", "bob-first1")
    # The next login is judged by the newest record.
    assert office.credentials.peek("super") is None
