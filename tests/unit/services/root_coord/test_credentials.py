import asyncio

import pytest

from tests.support.credentials import Gate, hashed
from tests.support.memory_store import MemoryCredentialStore
from vecguard.errors import InvalidParameterError, OutcomeUnknownError, UnavailableError
from vecguard.passwords import verify_password
from vecguard.root_coord.changes import Changes
from vecguard.root_coord.credentials import Credentials, ensure_root
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.session_state import Invalidation
from vecguard.root_coord.store.interface import Outcome
from vecguard.root_record import RootState
from vecguard.secret import Secret


class RecordingRevoker:
    def __init__(self, store):
        self._store = store
        self.gate = Gate()
        self.invalidations = []
        self.stored_before = []

    async def invalidate(self, invalidation):
        self.invalidations.append(invalidation)
        self.stored_before.append(self._store.revision)
        await self.gate.passed()


class FailingStore(MemoryCredentialStore):
    """Loses the answer to the next change, which is made or not made."""

    def __init__(self):
        super().__init__()
        self.applies = True
        self.loses_answers = False
        self.unreadable = False

    async def get(self, username):
        if self.unreadable:
            raise UnavailableError("etcd is away")
        return await super().get(username)

    async def _lossy(self, change):
        mutation = await change if self.applies or not self.loses_answers else None
        if self.loses_answers:
            if mutation is None:
                change.close()
            raise OutcomeUnknownError("no answer")
        return mutation

    async def create(self, *args, **options):
        return await self._lossy(super().create(*args, **options))

    async def update(self, *args, **options):
        return await self._lossy(super().update(*args, **options))

    async def delete(self, *args, **options):
        return await self._lossy(super().delete(*args, **options))


@pytest.fixture
async def store():
    store = FailingStore()
    await store.create("bob", hashed("first1"), "", user_limit=10)
    return store


@pytest.fixture
async def revoker(store):
    return RecordingRevoker(store)


@pytest.fixture
async def changes(revoker):
    return Changes(revoker)


@pytest.fixture
async def credentials(store, changes):
    return Credentials(store, changes, user_limit=10)


def updating(credentials, password="second2", **options):
    options = {"expected_revision": None, "description": None, "actor": None, **options}
    return credentials.update("bob", password=hashed(password), **options)


async def test_a_new_user_is_revoked_as_unknown(credentials, revoker):
    mutation = await credentials.create("eve", hashed("first1"), "", actor=None)
    assert mutation.outcome is Outcome.APPLIED
    assert revoker.invalidations == [Invalidation("eve", mutation.revision)]


async def test_a_change_is_stored_before_it_is_revoked(credentials, revoker):
    mutation = await updating(credentials)
    assert revoker.invalidations == [Invalidation("bob", mutation.revision)]
    assert revoker.stored_before == [mutation.revision]


async def test_a_change_is_answered_after_it_is_revoked(credentials, revoker):
    revoker.gate.close()
    update = asyncio.create_task(updating(credentials))
    await revoker.gate.arrivals()
    assert not update.done()
    revoker.gate.open()
    assert (await update).applied


async def test_a_deletion_is_revoked(credentials, revoker, store):
    mutation = await credentials.delete("bob", actor=None)
    assert revoker.invalidations == [Invalidation("bob", mutation.revision)]
    assert store.users == {}


async def test_a_deletion_of_nobody_is_revoked_too(credentials, revoker, store):
    """It is a success, and the deletion itself may be an earlier one that no proxy has heard of."""
    mutation = await credentials.delete("nobody", actor=None)
    assert mutation.outcome is Outcome.USER_NOT_FOUND
    assert revoker.invalidations == [Invalidation("nobody", store.revision)]


async def test_a_repeated_deletion_of_unknown_outcome_holds_everywhere(credentials, revoker, store):
    store.loses_answers = store.unreadable = True
    with pytest.raises(OutcomeUnknownError):
        await credentials.delete("bob", actor=None)
    store.loses_answers = store.unreadable = False
    revoker.invalidations.clear()
    assert (await credentials.delete("bob", actor=None)).outcome is Outcome.USER_NOT_FOUND
    assert revoker.invalidations == [Invalidation("bob", store.revision)]


@pytest.mark.parametrize("applies", [True, False])
@pytest.mark.parametrize("unreadable", [True, False])
async def test_an_unknown_outcome_is_revoked_and_says_so(
    credentials, revoker, store, applies, unreadable
):
    store.loses_answers, store.applies, store.unreadable = True, applies, unreadable
    with pytest.raises(OutcomeUnknownError, match="no answer"):
        await updating(credentials)
    (invalidation,) = revoker.invalidations
    assert invalidation.username == "bob"
    assert store.revision <= invalidation.revision < 2**63


async def test_a_repeated_change_of_unknown_outcome_is_revoked_by_its_revision(
    credentials, revoker, store
):
    store.loses_answers = True
    with pytest.raises(OutcomeUnknownError):
        await updating(credentials, expected_revision=2)
    store.loses_answers = False
    mutation = await updating(credentials, expected_revision=2)
    assert mutation.applied
    assert revoker.invalidations[-1] == Invalidation("bob", mutation.revision)


async def test_a_refused_change_revokes_nothing(credentials, revoker):
    assert (await updating(credentials, expected_revision=99)).outcome is Outcome.REVISION_CHANGED
    assert (
        await credentials.create("bob", hashed("other1"), "", actor=None)
    ).outcome is Outcome.USER_EXISTS
    assert (
        await credentials.update(
            "nobody",
            expected_revision=None,
            password=hashed("second2"),
            description=None,
            actor=None,
        )
    ).outcome is Outcome.USER_NOT_FOUND
    assert revoker.invalidations == []


async def test_an_unreachable_store_revokes_nothing(credentials, revoker, store):
    store.unreadable = True
    store.update = store.get

    async def unavailable(*args, **options):
        raise UnavailableError("etcd is away")

    store.update = unavailable
    with pytest.raises(UnavailableError):
        await updating(credentials)
    assert revoker.invalidations == []


async def test_a_description_revokes_nothing(credentials, revoker, store):
    mutation = await credentials.update(
        "bob", expected_revision=None, password=None, description="a friend", actor=None
    )
    assert mutation.applied
    assert revoker.invalidations == []
    assert store.users["bob"].description == "a friend"


async def test_a_rehash_revokes_nothing_and_is_made_at_its_revision_only(
    credentials, revoker, store
):
    mutation = await credentials.rehash("bob", 2, hashed("first1", 5))
    assert mutation.applied
    assert (await credentials.rehash("bob", 2, hashed("first1"))).outcome is (
        Outcome.REVISION_CHANGED
    )
    assert store.users["bob"].password == hashed("first1", 5)
    assert revoker.invalidations == []


@pytest.mark.parametrize("revision", [0, -1])
async def test_a_rehash_without_a_revision_changes_nothing(credentials, store, revision):
    mutation = await credentials.rehash("bob", revision, hashed("first1", 5))
    assert mutation.outcome is Outcome.REVISION_CHANGED
    assert store.users["bob"].password == hashed("first1")


@pytest.mark.parametrize("position", ["before storing", "while revoking"])
async def test_a_caller_who_hangs_up_does_not_stop_the_revocation(
    credentials, revoker, store, position, changes
):
    gate = revoker.gate
    if position == "before storing":
        gate = Gate()
        update = store.update

        async def held_up(*args, **options):
            await gate.passed()
            return await update(*args, **options)

        store.update = held_up
    gate.close()
    caller = asyncio.create_task(updating(credentials))
    await gate.arrivals()
    caller.cancel()
    await asyncio.wait([caller])
    gate.open()
    async with asyncio.timeout(10):
        await changes.drain(10.0)
    assert revoker.invalidations == [Invalidation("bob", store.users["bob"].revision)]
    assert verify_password(Secret("second2"), store.users["bob"].password)


async def test_draining_waits_for_what_has_begun(credentials, revoker, changes):
    revoker.gate.close()
    update = asyncio.create_task(updating(credentials))
    await revoker.gate.arrivals()
    drain = asyncio.create_task(changes.drain(10.0))
    await asyncio.sleep(0)
    assert not drain.done()
    revoker.gate.open()
    await drain
    assert update.done()


async def test_draining_survives_a_change_that_fails(credentials, store, changes):
    store.loses_answers = True
    caller = asyncio.create_task(updating(credentials))
    await asyncio.sleep(0)
    await changes.drain(10.0)
    with pytest.raises(OutcomeUnknownError):
        await caller


async def test_root_cannot_be_deleted(credentials, store):
    await store.create("root", hashed("Milvus"), "", user_limit=10)
    with pytest.raises(InvalidParameterError, match="root user cannot be deleted"):
        await credentials.delete("root", actor=None)
    assert "root" in store.users


@pytest.mark.parametrize("username", ["", "a/b", "a:b", "a b", "é", "../users/x", "x" * 256])
async def test_a_name_that_would_break_the_key_is_refused(credentials, store, username):
    with pytest.raises(InvalidParameterError):
        await credentials.create(username, hashed("first1"), "", actor=None)
    assert set(store.users) == {"bob"}


async def test_the_user_limit_is_passed_on(store, revoker):
    credentials = Credentials(store, Changes(revoker), user_limit=1)
    assert (await credentials.create("eve", hashed("first1"), "", actor=None)).outcome is (
        Outcome.USER_LIMIT_REACHED
    )


# --- root -------------------------------------------------------------------------------


class InitialPassword:
    def __init__(self, password="Milvus"):
        self._password = password
        self.hashed = 0

    async def __call__(self):
        self.hashed += 1
        return hashed(self._password)


async def test_root_is_created_in_a_new_store():
    store = MemoryCredentialStore()
    assert await ensure_root(store, InitialPassword()) is RootState.NEW
    assert store.users["root"].password == hashed("Milvus")


async def test_an_existing_root_is_never_overwritten():
    store = MemoryCredentialStore()
    await ensure_root(store, InitialPassword())
    other = InitialPassword("other-password")
    assert await ensure_root(store, other) is RootState.FOUND
    assert store.users["root"].password == hashed("Milvus")
    assert other.hashed == 0


async def test_root_is_not_created_in_a_store_that_has_lost_it(store):
    """There it would have the well-known password."""
    initial = InitialPassword()
    assert await ensure_root(store, initial) is RootState.LOST  # there is bob
    await store.create("root", hashed("first1"), "", user_limit=10)
    assert await ensure_root(store, initial) is RootState.FOUND
    for username in ("root", "bob"):
        await store.delete(username)
    assert await ensure_root(store, initial) is RootState.LOST
    assert store.users == {}
    assert initial.hashed == 0


async def test_two_root_coords_that_start_at_once_create_root_once():
    store = MemoryCredentialStore()
    states = await asyncio.gather(
        *(ensure_root(store, InitialPassword(f"password{number}")) for number in range(5))
    )
    assert states.count(RootState.NEW) == 1


async def test_no_change_begins_while_draining(credentials, store, changes):
    """Otherwise steady changes would keep a root coord from ever stepping down."""
    await changes.drain(10.0)
    before = store.users["bob"]
    with pytest.raises(LeadershipLostError):
        await updating(credentials)
    assert store.users["bob"] == before


async def test_draining_does_not_wait_for_ever(credentials, revoker, changes):
    revoker.gate.close()
    update = asyncio.create_task(updating(credentials))
    await revoker.gate.arrivals()
    await changes.drain(0.01)
    assert not update.done()
    revoker.gate.open()
    await update
