import asyncio
from dataclasses import replace

import pytest

from tests.support.credentials import Gate, hashed
from vecguard.errors import InvalidParameterError, OutcomeUnknownError, UnavailableError
from vecguard.root_coord.changes import Changes
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.roles import Roles
from vecguard.root_coord.session_state import FullInvalidation, Invalidation, PolicyInvalidation
from vecguard.root_coord.store.interface import Mutation, Outcome, StoredCredential
from vecguard.root_coord.store.role_interface import (
    Grant,
    PrivilegeGroup,
    RoleBackup,
    StoredRole,
)

SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "root")
BACKUP = RoleBackup(
    (StoredCredential("bob", hashed("first1"), 0, "", ("reader",)),),
    (StoredRole("reader", "", (SEARCH,)),),
    (PrivilegeGroup("Readers", ("Search",)),),
)
HOLDERS = ("bob", "eve")


class RecordingStore:
    """Answers every change alike, and records it."""

    def __init__(self):
        self.answer = Mutation(Outcome.APPLIED, 7)
        self.failure = None
        self.newest = 9
        self.changes = []
        self.changes_noted = 0

    def changed(self):
        self.changes_noted += 1

    async def revision(self):
        if self.newest is None:
            raise UnavailableError("etcd is away")
        return self.newest

    def __getattr__(self, name):
        async def change(*args, **options):
            self.changes.append((name, args, options))
            if self.failure is not None:
                raise self.failure
            return self.answer

        return change


class RecordingHub:
    def __init__(self):
        self.gate = Gate()
        self.revoked = []

    async def invalidate(self, *revocations):
        self.revoked.append(list(revocations))
        await self.gate.passed()


@pytest.fixture
def store():
    return RecordingStore()


@pytest.fixture
async def hub():
    return RecordingHub()


@pytest.fixture
def changes(hub):
    return Changes(hub)


@pytest.fixture
def roles(store, changes):
    return Roles(store, changes, role_limit=10, changed=store.changed, built_in=["ours"])


_OF_POLICY = {
    "create": lambda roles: roles.create("reader", "", actor=None),
    "alter": lambda roles: roles.alter("reader", "x", actor=None),
    "drop": lambda roles: roles.drop("reader", force=False, actor=None),
    "grant": lambda roles: roles.change_grants("reader", [SEARCH], give=True, actor=None),
    "create group": lambda roles: roles.create_group("Readers", actor=None),
    "drop group": lambda roles: roles.drop_group("Readers", actor=None),
    "change group": lambda roles: roles.change_group("Readers", ["Search"], add=True, actor=None),
    "restore": lambda roles: roles.restore(BACKUP, actor=None),
}
_OF_USER = {
    "give": lambda roles: roles.change_user("bob", "reader", give=True, actor=None),
    "take": lambda roles: roles.change_user("bob", "reader", give=False, actor=None),
}
_ALL = _OF_POLICY | _OF_USER


@pytest.mark.parametrize("change", _OF_POLICY.values(), ids=_OF_POLICY)
async def test_a_change_of_policy_makes_proxies_read_the_policy_again(roles, hub, change):
    assert (await change(roles)).applied
    assert hub.revoked == [[PolicyInvalidation(7)]]


@pytest.mark.parametrize("change", _OF_USER.values(), ids=_OF_USER)
async def test_a_changed_mapping_concerns_the_roles_of_that_user(roles, hub, change):
    assert (await change(roles)).applied
    assert hub.revoked == [[Invalidation("bob", 7, roles_only=True)]]


@pytest.mark.parametrize(
    ("name", "roles_only"), [("drop", True), ("create", True), ("restore", False)]
)
async def test_the_users_whom_a_change_touches_are_revoked_with_it(
    roles, store, hub, name, roles_only
):
    store.answer = Mutation(Outcome.APPLIED, 7, users=HOLDERS)
    await _ALL[name](roles)
    assert hub.revoked == [
        [
            PolicyInvalidation(7),
            *(Invalidation(user, 7, roles_only=roles_only) for user in HOLDERS),
        ]
    ]


@pytest.mark.parametrize("name", ["drop", "restore"])
async def test_very_many_users_are_revoked_by_one_notice(roles, store, hub, name):
    store.answer = Mutation(Outcome.APPLIED, 7, users=tuple(f"u{n}" for n in range(101)))
    await _ALL[name](roles)
    assert hub.revoked == [[FullInvalidation()]]


@pytest.mark.parametrize("change", _ALL.values(), ids=_ALL)
async def test_a_refused_change_revokes_nothing(roles, store, hub, change):
    store.answer = Mutation(Outcome.ACTOR_REVOKED)
    assert (await change(roles)).outcome is Outcome.ACTOR_REVOKED
    assert hub.revoked == []


@pytest.mark.parametrize("change", _ALL.values(), ids=_ALL)
async def test_a_change_is_answered_after_it_is_revoked_even_if_its_caller_hangs_up(
    roles, changes, hub, change
):
    hub.gate.close()
    caller = asyncio.create_task(change(roles))
    await hub.gate.arrivals()
    assert not caller.done()
    caller.cancel()
    await asyncio.wait([caller])
    drained = asyncio.create_task(changes.drain(10.0))
    await asyncio.sleep(0)
    assert not drained.done()
    hub.gate.open()
    await drained
    with pytest.raises(LeadershipLostError):
        await change(roles)


@pytest.mark.parametrize("name", _ALL)
async def test_an_unknown_outcome_is_revoked_as_if_it_was_applied(roles, store, hub, name):
    store.failure = OutcomeUnknownError("no answer")
    with pytest.raises(OutcomeUnknownError):
        await _ALL[name](roles)
    (revoked,) = hub.revoked
    if name in _OF_USER:
        assert revoked == [Invalidation("bob", 9, roles_only=True)]
    elif name in ("drop", "create", "restore"):
        assert revoked == [FullInvalidation()]  # whose users are unknown
    else:
        assert revoked == [PolicyInvalidation(9)]


@pytest.mark.parametrize("name", _ALL)
async def test_without_a_revision_everything_is_revoked(roles, store, hub, name):
    store.failure, store.newest = OutcomeUnknownError("no answer"), None
    with pytest.raises(OutcomeUnknownError):
        await _ALL[name](roles)
    (revoked,) = hub.revoked
    if name in _OF_USER:
        assert revoked == [Invalidation("bob", 2**63 - 1, roles_only=True)]
    else:
        assert revoked == [FullInvalidation()]


@pytest.mark.parametrize("failure", [None, OutcomeUnknownError("lost"), UnavailableError("away")])
@pytest.mark.parametrize("name", _ALL)
async def test_a_change_of_policy_is_noted_before_proxies_are_notified(
    roles, store, hub, name, failure
):
    store.failure = failure
    hub.gate.close()
    task = asyncio.create_task(_ALL[name](roles))
    if not isinstance(failure, UnavailableError):
        await hub.gate.arrivals()
        assert store.changes_noted == (name in _OF_POLICY)
    hub.gate.open()
    await asyncio.wait([task])
    assert store.changes_noted == (name in _OF_POLICY)
    task.exception()


@pytest.mark.parametrize("name", ["admin", "public", "ours"])
async def test_a_built_in_role_is_neither_altered_nor_dropped(roles, store, name):
    for change in (
        roles.alter(name, "x", actor=None),
        roles.drop(name, force=True, actor=None),
    ):
        assert (await change).outcome is Outcome.ROLE_IS_BUILT_IN
    assert store.changes == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 256])
async def test_a_role_whose_name_cannot_be_stored_does_not_exist(roles, store, name):
    for change in (
        roles.alter(name, "x", actor=None),
        roles.drop(name, force=True, actor=None),
        roles.change_user("bob", name, give=True, actor=None),
        roles.change_grants(name, [SEARCH], give=True, actor=None),
    ):
        assert (await change).outcome is Outcome.ROLE_NOT_FOUND
    change = roles.change_group(name, ["Search"], add=True, actor=None)
    assert (await change).outcome is Outcome.GROUP_NOT_FOUND
    assert store.changes == []


async def test_a_user_whose_name_cannot_be_stored_does_not_exist(roles, store):
    change = roles.change_user("a/b", "reader", give=True, actor=None)
    assert (await change).outcome is Outcome.USER_NOT_FOUND
    assert store.changes == []


@pytest.mark.parametrize(
    "change",
    [
        lambda roles: roles.create("a/b", "", actor=None),
        lambda roles: roles.create_group("a/b", actor=None),
        lambda roles: roles.drop_group("a/b", actor=None),
        lambda roles: roles.change_group("Readers", ["a/b"], add=True, actor=None),
        lambda roles: roles.change_grants("reader", [], give=True, actor=None),
        *(
            lambda roles, bad=bad: roles.change_grants(
                "reader", [replace(SEARCH, **bad)], give=True, actor=None
            )
            for bad in (
                {"object_type": "a/b"},
                {"database": ""},
                {"database": "a.b"},
                {"object": "a/b"},
                {"privilege": "a/b"},
                {"grantor": ""},
            )
        ),
        *(
            lambda roles, bad=bad: roles.restore(replace(BACKUP, **bad), actor=None)
            for bad in (
                {"users": (StoredCredential("root", None, 0),)},
                {"users": (StoredCredential("a/b", None, 0),)},
                {"users": BACKUP.users * 2},
                {"roles": (StoredRole("a/b"),)},
                {"roles": BACKUP.roles * 2},
                {"groups": (PrivilegeGroup("a/b"),)},
                {"groups": (PrivilegeGroup("g", ("a/b",)),)},
                {"groups": BACKUP.groups * 2},
            )
        ),
    ],
)
async def test_what_cannot_be_stored_is_refused(roles, store, change):
    with pytest.raises(InvalidParameterError):
        await change(roles)
    assert store.changes == []


async def test_an_empty_backup_is_restored_at_once(roles, store, hub):
    assert (await roles.restore(RoleBackup(), actor=None)).applied
    assert (store.changes, hub.revoked) == ([], [])


async def test_the_role_limit_is_passed_on(roles, store):
    await roles.create("reader", "", actor=None)
    assert store.changes == [("create_role", ("reader", ""), {"role_limit": 10, "actor": None})]
