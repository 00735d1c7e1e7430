"""What the role store in etcd promises beside the contract: Milvus's layout, guards, corruption."""

import hashlib
import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.support.credentials import hashed
from tests.support.etcd_administration import compact
from tests.support.etcd_store import fenced_role_store, fenced_store
from vecguard.errors import OutcomeUnknownError, UnavailableError
from vecguard.etcd import Delete, Get, Put
from vecguard.generated.milvus.proto.milvus import PrivilegeEntity, PrivilegeGroupInfo
from vecguard.milvus_layout.role_records import Grantee, group_value
from vecguard.milvus_layout.stored_roles import Grant, StoredRole, corrupt_role_records
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.store.interface import Actor, Outcome, StoredCredential
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RoleBackup

HASH = hashed("first1")
SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "root")
QUERY = replace(SEARCH, privilege="PrivilegeQuery")
READERS = Grant("Global", "default", "*", "PrivilegeGroupReaders", "root")
BOOKS = Grantee("reader", "Collection", "default", "books")
OLD_ID = BOOKS.id[8:24]


@pytest.fixture
async def users(client, keys, fence):
    users = fenced_store(client, keys, fence)
    for name in ("root", "bob"):
        await users.create(name, HASH, "", user_limit=9)
    return users


@pytest.fixture
async def store(client, keys, fence, users):
    store = fenced_role_store(client, keys, fence)
    await store.create_role("reader", "", role_limit=None, actor=None)
    return store


class Interfering:
    """Runs another change between the store's reads and its next transactions."""

    def __init__(self, client, *before):
        self._client = client
        self._before = list(before)
        self.written = 0

    async def range(self, *args, **options):
        return await self._client.range(*args, **options)

    async def txn(self, conditions, changes, *more):
        if all(isinstance(change, Get) for change in changes):
            return await self._client.txn(conditions, changes, *more)
        before = self._before.pop(0) if self._before else None
        if before is not None:
            await before()
        self.written += 1
        return await self._client.txn(conditions, changes, *more)


@pytest.fixture
def crossed(client, keys, fence):
    """Makes a store whose next transactions these changes precede."""

    def made(*before):
        return fenced_role_store(Interfering(client, *before), keys, fence)

    return made


async def put(client, **values):
    await client.txn([], [Put(key.encode(), value) for key, value in values.items()])


async def below(client, keys):
    """All keys below `root-coord` with their values."""
    start = f"{keys.root}/root-coord/"
    read = await client.range(start.encode(), prefix=True)
    found = {kv.key.decode().removeprefix(start): kv.value for kv in read.kvs}
    return {key: value for key, value in found.items() if "/users/" not in key}


async def grants_of(store, role="reader"):
    (found,) = (await store.get_roles([role])).value.roles
    return list(found.grants)


async def grant(store, *grants):
    return await store.change_grants("reader", grants, give=True, actor=None)


async def revoke(store, *grants):
    return await store.change_grants("reader", grants, give=False, actor=None)


async def as_milvus_wrote(client, keys, identity, *privileges, key="reader/Collection/books"):
    await put(
        client,
        **{keys.grantee(key): identity.encode()},
        **{keys.grants_of(identity) + privilege: b"root" for privilege in privileges},
    )


# --- Milvus's layout --------------------------------------------------------------------


async def test_everything_lies_under_milvus_keys_in_milvus_form(store, client, keys):
    await store.alter_role("reader", "reads", actor=None)
    await store.create_role("other", "", role_limit=None, actor=None)
    await store.give_role("bob", "reader", actor=None)
    await grant(store, SEARCH)
    await store.create_group("Readers", actor=None)
    await store.change_group("Readers", ["Search", "Query"], add=True, actor=None)
    logical = "root-coord/credential/grantee-privileges/reader/Collection/default.books"
    identity = hashlib.md5(logical.encode()).hexdigest()
    assert await below(client, keys) == {
        "credential/roles/reader": b'{"description":"reads"}',
        "credential/roles/other": b"",
        "credential/user-role-mapping/bob/reader": b"",
        "credential/grantee-privileges/reader/Collection/default.books": identity.encode(),
        f"credential/grantee-id/{identity}/PrivilegeSearch": b"root",
        "privilege-group/Readers": bytes(
            PrivilegeGroupInfo(
                group_name="Readers",
                privileges=[PrivilegeEntity(name="Search"), PrivilegeEntity(name="Query")],
            )
        ),
    }


async def test_the_last_revocation_removes_the_grantee_as_well(store, client, keys):
    before = await below(client, keys)
    await grant(store, SEARCH, QUERY)
    await revoke(store, SEARCH)
    assert await grants_of(store) == [QUERY]
    await revoke(store, QUERY)
    assert await below(client, keys) == before


async def test_a_grantee_that_milvus_left_without_privileges_is_no_grant(store, client, keys):
    await as_milvus_wrote(client, keys, BOOKS.id, key=BOOKS.key)
    assert await grants_of(store) == []
    assert (await store.drop_role("reader", force=False, actor=None)).applied


async def test_privileges_below_an_id_without_a_grantee_are_not_inherited(store, client, keys):
    await put(client, **{keys.grants_of(BOOKS.id) + "PrivilegeDelete": b"root"})
    await grant(store, SEARCH)
    assert await grants_of(store) == [SEARCH]


async def test_a_new_role_has_no_grants_and_users_of_an_earlier_one(store, client, keys, users):
    await as_milvus_wrote(
        client, keys, "0" * 32, "PrivilegeDelete", key="new/Collection/default.books"
    )
    await put(client, **{keys.mapping("bob", "new"): b""})
    created = await store.create_role("new", "", role_limit=None, actor=None)
    assert created.users == ("bob",)
    assert await grants_of(store, "new") == []
    assert (await users.get("bob")).value.roles == ()


@pytest.mark.parametrize("key", ["reader/Collection/books", BOOKS.key])
async def test_old_keys_and_ids_are_read_and_rewritten_by_the_next_change(store, client, keys, key):
    await as_milvus_wrote(client, keys, OLD_ID, "PrivilegeSearch", "PrivilegeLoad", key=key)
    load = replace(SEARCH, privilege="PrivilegeLoad")
    assert await grants_of(store) == [load, SEARCH]
    assert (await grant(store, SEARCH)).applied  # changes nothing
    assert keys.grantee(key).removeprefix(f"{keys.root}/root-coord/") in await below(client, keys)
    assert (await grant(store, QUERY)).applied
    assert await grants_of(store) == [load, QUERY, SEARCH]
    left = await below(client, keys)
    assert left["credential/grantee-privileges/" + BOOKS.key] == BOOKS.id.encode()
    assert {key for key in left if "grantee" in key} == {
        "credential/grantee-privileges/" + BOOKS.key,
        *(
            f"credential/grantee-id/{BOOKS.id}/Privilege{name}"
            for name in ("Load", "Query", "Search")
        ),
    }


async def test_old_grants_are_revoked_wherever_they_are(store, client, keys):
    await as_milvus_wrote(client, keys, OLD_ID, "PrivilegeSearch")
    await as_milvus_wrote(client, keys, BOOKS.id, "PrivilegeSearch", key=BOOKS.key)
    assert await grants_of(store) == [SEARCH]
    await revoke(store, SEARCH)
    assert await grants_of(store) == []
    assert not [key for key in await below(client, keys) if "grantee" in key]


async def test_the_older_of_two_keys_says_who_granted(store, client, keys):
    await as_milvus_wrote(client, keys, BOOKS.id, "PrivilegeQuery", key=BOOKS.key)
    await put(
        client,
        **{
            keys.grantee("reader/Collection/books"): OLD_ID.encode(),
            keys.grants_of(OLD_ID) + "PrivilegeQuery": b"eve",
        },
    )
    await grant(store, SEARCH)
    assert await grants_of(store) == [replace(QUERY, grantor="eve"), SEARCH]


async def test_a_shared_old_id_harms_only_its_grants(store, client, keys):
    await as_milvus_wrote(client, keys, OLD_ID, "PrivilegeSearch")
    await store.create_role("other", "", role_limit=None, actor=None)
    await as_milvus_wrote(client, keys, OLD_ID, key="other/Collection/default.films")
    for change in (grant(store, QUERY), revoke(store, SEARCH)):
        refused = await change
        assert refused.outcome is Outcome.INVALID
        assert refused.detail == (
            f"shared legacy grantee id {OLD_ID}, also of other/Collection/default.films"
        )
    assert await grants_of(store) == [SEARCH]
    assert (await grant(store, replace(QUERY, object="films"))).applied
    assert (await store.drop_role("reader", force=True, actor=None)).applied
    assert await grants_of(store, "other") == [replace(SEARCH, object="films")]
    assert (await store.change_grants("other", [QUERY], give=True, actor=None)).applied


# --- bad records ------------------------------------------------------------------------


async def test_bad_records_harm_only_themselves_and_are_named(store, client, keys, users):
    await store.give_role("bob", "reader", actor=None)
    await grant(store, SEARCH)
    await store.create_group("Good", actor=None)
    bad = {
        keys.role("described"): b"{not JSON",
        keys.role("listed"): b"[]",
        keys.mapping("bob", "a/b"): b"",
        keys.grantee("reader/Collection"): b"0" * 32,
        keys.grantee("reader/Collection/default."): b"0" * 32,
        keys.grantee("reader/Collection/default.films"): b"../../x",
        keys.grants_of("0" * 16): b"",
        keys.group("Bad"): b"\x0a\xff",
    }
    await put(client, **bad)
    undecodable = keys.roles.encode() + b"\xff"
    await client.txn([], [Put(undecodable, b"")])
    with capture_logs() as logs:
        assert [role.name for role in (await store.list_roles()).value] == [
            "described",
            "listed",
            "reader",
        ]
        assert await grants_of(store) == [SEARCH]
        assert (await users.get("bob")).value.roles == ("reader",)
        assert [group.name for group in (await store.list_groups()).value[:2]] == [
            "Good",
            "ClusterReadOnly",
        ]
        assert (await grant(store, QUERY)).applied
    assert {entry["event"] for entry in logs} >= {"corrupt_role_record"}
    found = await corrupt_role_records(client, keys)
    assert {each.key for each in found} == {*bad, undecodable.decode(errors="replace")}
    assert all(each.reason for each in found)


async def test_shared_ids_are_named(client, keys, store):
    for key in ("reader/Collection/default.a", "reader/Collection/default.b"):
        await as_milvus_wrote(client, keys, OLD_ID, "PrivilegeSearch", key=key)
    found = await corrupt_role_records(client, keys)
    assert {each.reason for each in found} == {f"shared legacy grantee id {OLD_ID}"}
    assert len(found) == 2


async def test_a_grantee_with_a_bad_value_is_mended_by_the_next_grant(store, client, keys):
    await put(client, **{keys.grantee(BOOKS.key): b"bad"})
    await grant(store, SEARCH)
    assert await grants_of(store) == [SEARCH]
    assert await corrupt_role_records(client, keys) == ()


async def test_a_group_with_stored_names_is_read_in_names_of_the_api(store, client, keys):
    value = group_value("Readers", ("PrivilegeSearch", "Query", "PrivilegedPeople"))
    await put(client, **{keys.group("Readers"): value})
    assert (await store.list_groups()).value[0].privileges == (
        "Search",
        "Query",
        "PrivilegedPeople",
    )


async def test_groups_that_contain_each_other_end(store, client, keys):
    await put(
        client,
        **{
            keys.group("Readers"): group_value("Readers", ("Others", "Search")),
            keys.group("Others"): group_value("Others", ("Readers", "Query")),
        },
    )
    await grant(store, READERS)
    (group,) = (await store.get_roles(["reader"])).value.groups
    assert set(group.privileges) == {"Search", "Query"}


# --- what comes between -----------------------------------------------------------------


async def test_a_read_that_is_compacted_in_the_middle_is_made_again(
    store, client, keys, fence, etcd
):
    await grant(store, SEARCH)

    class Compacting(Interfering):
        compacted = False

        async def txn(self, conditions, changes, *more):
            result = await self._client.txn(conditions, changes, *more)
            if not self.compacted:
                self.compacted = True
                later = await self._client.txn([], [Put(keys.group("Later").encode(), b"")])
                await compact(etcd.endpoint, later.revision)
            return result

    reading = fenced_role_store(Compacting(client), keys, fence)
    assert await grants_of(reading) == [SEARCH]


async def drop_reader(store):
    await store.drop_role("reader", force=True, actor=None)


_BETWEEN = {
    "grant, role dropped": (
        lambda store: grant(store, SEARCH),
        drop_reader,
        Outcome.ROLE_NOT_FOUND,
    ),
    "alter, role dropped": (
        lambda store: store.alter_role("reader", "x", actor=None),
        drop_reader,
        Outcome.ROLE_NOT_FOUND,
    ),
    "give, role dropped": (
        lambda store: store.give_role("bob", "reader", actor=None),
        drop_reader,
        Outcome.ROLE_NOT_FOUND,
    ),
    "drop, given meanwhile": (
        lambda store: store.drop_role("reader", force=False, actor=None),
        lambda store: grant(store, SEARCH),
        Outcome.ROLE_HAS_GRANTS,
    ),
    "grant of a group that is dropped": (
        lambda store: grant(store, READERS),
        lambda store: store.drop_group("Readers", actor=None),
        Outcome.PRIVILEGE_NOT_FOUND,
    ),
    "drop of a group that is given": (
        lambda store: store.drop_group("Readers", actor=None),
        lambda store: grant(store, READERS),
        Outcome.GROUP_IN_USE,
    ),
    "create, created meanwhile": (
        lambda store: store.create_role("new", "", role_limit=None, actor=None),
        lambda store: store.create_role("new", "", role_limit=None, actor=None),
        Outcome.ROLE_EXISTS,
    ),
    "create at the limit": (
        lambda store: store.create_role("new", "", role_limit=2, actor=None),
        lambda store: store.create_role("other", "", role_limit=2, actor=None),
        Outcome.ROLE_LIMIT_REACHED,
    ),
    "group created meanwhile": (
        lambda store: store.create_group("New", actor=None),
        lambda store: store.create_group("New", actor=None),
        Outcome.GROUP_EXISTS,
    ),
    "group of another level meanwhile": (
        lambda store: store.change_group("Readers", ["Search"], add=True, actor=None),
        lambda store: store.change_group("Readers", ["DropCollection"], add=True, actor=None),
        Outcome.LEVELS_DIFFER,
    ),
    "group of a group that is dropped": (
        lambda store: store.change_group("Readers", ["Inner"], add=True, actor=None),
        lambda store: store.drop_group("Inner", actor=None),
        Outcome.PRIVILEGE_NOT_FOUND,
    ),
    "restore, role created meanwhile": (
        lambda store: store.restore(RoleBackup(roles=(StoredRole("new"),)), actor=None),
        lambda store: store.create_role("new", "", role_limit=None, actor=None),
        Outcome.ROLE_EXISTS,
    ),
}


@pytest.mark.parametrize(("change", "other", "outcome"), _BETWEEN.values(), ids=_BETWEEN)
async def test_what_changed_between_reading_and_writing_counts(
    store, crossed, change, other, outcome
):
    await store.create_group("Readers", actor=None)
    await store.create_group("Inner", actor=None)

    async def meanwhile():
        await other(store)

    assert (await change(crossed(meanwhile))).outcome is outcome


async def test_a_user_who_is_deleted_meanwhile_is_given_no_role(
    store, client, keys, users, crossed
):
    given = await crossed(lambda: users.delete("bob")).give_role("bob", "reader", actor=None)
    assert given.outcome is Outcome.USER_NOT_FOUND
    assert not [key for key in await below(client, keys) if "mapping" in key]


async def test_a_grantor_who_is_deleted_meanwhile_grants_nothing(store, users, crossed):
    given = await grant(crossed(lambda: users.delete("bob")), replace(SEARCH, grantor="bob"))
    assert given.outcome is Outcome.GRANTOR_NOT_FOUND


async def test_a_user_who_is_given_the_role_while_it_is_dropped_loses_it(store, users, crossed):
    dropped = await crossed(lambda: store.give_role("bob", "reader", actor=None)).drop_role(
        "reader", force=True, actor=None
    )
    assert dropped.users == ("bob",)
    assert (await users.get("bob")).value.roles == ()


async def bind_many(client, keys, count=100):
    mappings = [keys.mapping(f"user{number}", "reader").encode() for number in range(count)]
    await client.txn([], [Put(mapping, b"") for mapping in mappings])


async def test_a_role_of_many_users_is_dropped(store, client, keys):
    await bind_many(client, keys)
    dropped = await store.drop_role("reader", force=True, actor=None)
    assert dropped.applied
    assert set(dropped.users) == {f"user{number}" for number in range(100)}
    assert not [key for key in await below(client, keys) if "mapping" in key]


async def test_a_refused_drop_names_the_users_who_have_lost_the_role(store, client, keys, crossed):
    """Proxies must hear of them, although the drop itself is refused."""
    await bind_many(client, keys)
    interrupted = crossed(None, lambda: grant(store, SEARCH))
    refused = await interrupted.drop_role("reader", force=False, actor=None)
    assert refused.outcome is Outcome.ROLE_HAS_GRANTS
    left = [key for key in await below(client, keys) if "mapping" in key]
    assert refused.revision
    assert 0 < len(left) < 100
    assert len(refused.users) == 100


async def etcd_is_lost():
    raise UnavailableError("etcd is not reached")


async def nothing():
    pass


async def test_a_drop_that_fails_after_a_part_has_an_unknown_outcome(store, client, keys, crossed):
    """Proxies must hear of the users who have lost the role, and of the role."""
    await bind_many(client, keys)
    with pytest.raises(OutcomeUnknownError, match="etcd is not reached"):
        await crossed(nothing, etcd_is_lost).drop_role("reader", force=True, actor=None)
    assert 0 < len([key for key in await below(client, keys) if "mapping" in key]) < 100


async def test_a_drop_that_fails_before_its_first_part_has_a_known_outcome(store, crossed):
    with pytest.raises(UnavailableError) as failure:
        await crossed(etcd_is_lost).drop_role("reader", force=True, actor=None)
    assert not isinstance(failure.value, OutcomeUnknownError)


async def test_a_drop_whose_cleaning_fails_has_an_unknown_outcome(store, crossed):
    for start in range(0, 150, 10):
        await grant(store, *(replace(SEARCH, object=f"c{start + n}") for n in range(10)))
    with pytest.raises(OutcomeUnknownError):
        await crossed(nothing, etcd_is_lost).drop_role("reader", force=True, actor=None)
    assert not (await store.get_roles(["reader"])).value.roles


async def test_a_privilege_that_is_revoked_while_old_keys_are_rewritten_stays_revoked(
    store, client, keys, crossed
):
    await as_milvus_wrote(client, keys, OLD_ID, "PrivilegeSearch", "PrivilegeLoad")
    load = keys.grants_of(OLD_ID) + "PrivilegeLoad"
    assert (await grant(crossed(lambda: client.txn([], [Delete(load.encode())])), QUERY)).applied
    assert await grants_of(store) == [QUERY, SEARCH]


LOAD = replace(SEARCH, privilege="PrivilegeLoad")


async def test_a_grant_survives_that_the_last_other_one_is_revoked_meanwhile(store, crossed):
    await grant(store, SEARCH)
    assert (await grant(crossed(lambda: revoke(store, SEARCH)), QUERY)).applied
    assert await grants_of(store) == [QUERY]


async def test_a_revocation_of_the_last_one_leaves_what_is_granted_meanwhile(store, crossed):
    await grant(store, SEARCH)
    assert (await revoke(crossed(lambda: grant(store, QUERY)), SEARCH)).applied
    assert await grants_of(store) == [QUERY]


async def test_what_is_granted_already_is_granted_although_it_is_revoked_meanwhile(store, crossed):
    await grant(store, SEARCH, LOAD)
    assert (await grant(crossed(lambda: revoke(store, SEARCH)), SEARCH, QUERY)).applied
    assert await grants_of(store) == [LOAD, QUERY, SEARCH]


async def test_an_id_that_comes_to_be_shared_meanwhile_is_noticed(store, client, keys, crossed):
    await as_milvus_wrote(client, keys, OLD_ID, "PrivilegeSearch")
    other = keys.grantee("other/Collection/default.films")
    refused = await grant(crossed(lambda: put(client, **{other: OLD_ID.encode()})), QUERY)
    assert refused.outcome is Outcome.INVALID


_CHANGES = {
    "create": lambda store, actor: store.create_role("new", "", role_limit=9, actor=actor),
    "alter": lambda store, actor: store.alter_role("reader", "x", actor=actor),
    "drop": lambda store, actor: store.drop_role("reader", force=True, actor=actor),
    "give": lambda store, actor: store.give_role("root", "reader", actor=actor),
    "take": lambda store, actor: store.take_role("bob", "reader", actor=actor),
    "grant": lambda store, actor: store.change_grants("reader", [SEARCH], give=True, actor=actor),
    "revoke": lambda store, actor: store.change_grants("reader", [QUERY], give=False, actor=actor),
    "create group": lambda store, actor: store.create_group("New", actor=actor),
    "drop group": lambda store, actor: store.drop_group("Readers", actor=actor),
    "change group": lambda store, actor: store.change_group(
        "Readers", ["Load"], add=True, actor=actor
    ),
    "restore": lambda store, actor: store.restore(
        RoleBackup(roles=(StoredRole("new"),)), actor=actor
    ),
}


@pytest.fixture
async def furnished(store):
    await store.give_role("bob", "reader", actor=None)
    await grant(store, QUERY)
    await store.create_group("Readers", actor=None)


@pytest.mark.usefixtures("furnished")
@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_an_actor_who_is_deleted_between_reading_and_writing_changes_nothing(
    client, keys, users, crossed, change
):
    actor = Actor("bob", (await users.get("bob")).value.revision)
    after = []

    async def deleted():
        await users.delete("bob")
        after.append(await below(client, keys))

    mutation = await change(crossed(deleted), actor)
    assert mutation.outcome is Outcome.ACTOR_REVOKED
    assert await below(client, keys) == after[0]


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_an_actor_whose_hash_alone_is_renewed_makes_the_change(
    users, furnished, crossed, change
):
    revision = (await users.get("bob")).value.revision
    assert (
        await change(
            crossed(lambda: users.rehash("bob", revision, hashed("first1", 5))),
            Actor("bob", revision),
        )
    ).applied


@pytest.mark.usefixtures("furnished")
@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_a_deposed_leader_changes_nothing(client, keys, fence, crossed, change):
    before = await below(client, keys)
    with pytest.raises(LeadershipLostError):
        await change(crossed(lambda: client.txn([], [Delete(fence.key)])), None)
    assert await below(client, keys) == before


async def test_a_deposed_leader_makes_no_initial_roles(client, keys, fence, store, crossed):
    before = await below(client, keys)
    with pytest.raises(LeadershipLostError):
        await crossed(lambda: client.txn([], [Delete(fence.key)])).ensure_roles({"admin": ()})
    assert await below(client, keys) == before


# --- restoring --------------------------------------------------------------------------

LARGE = RoleBackup(
    tuple(StoredCredential(f"user{n:03}", HASH, 0, "", ("many",)) for n in range(150)),
    (StoredRole("many", "", tuple(replace(SEARCH, object=f"c{n:03}") for n in range(150))),),
    tuple(PrivilegeGroup(f"group{n:03}", ("Search",)) for n in range(3)),
)


async def test_a_restored_user_is_never_without_its_rights(client, keys, fence, users, store):
    seen = []

    async def look():
        present = {user.username: user.roles for user in (await users.list_all()).value}
        roles = (await store.get_roles(["many"])).value.roles
        seen.append((len(present), len(roles[0].grants) if roles else None))
        assert all(roles == ("many",) for name, roles in present.items() if "user" in name)
        assert len(present) == 2 or len(roles[0].grants) == 150

    interfering = Interfering(client, *[look] * 50)
    restored = await fenced_role_store(interfering, keys, fence).restore(LARGE, actor=None)
    assert restored.applied
    assert interfering.written > 3
    assert (2, 150) in seen or (2, None) in seen


async def test_what_earlier_roles_and_users_left_is_not_restored(client, keys, store, users):
    await as_milvus_wrote(
        client, keys, "0" * 32, "PrivilegeDelete", key="many/Collection/default.x"
    )
    grantee = Grantee("many", "Collection", "default", "c000")
    await put(
        client,
        **{
            keys.mapping("user000", "reader"): b"",
            keys.grants_of(grantee.id) + "PrivilegeDelete": b"root",
        },
    )
    assert (await store.restore(LARGE, actor=None)).applied
    assert (await users.get("user000")).value.roles == ("many",)
    assert {each.privilege for each in await grants_of(store, "many")} == {"PrivilegeSearch"}


async def test_a_restoration_that_fails_after_a_part_has_an_unknown_outcome(store, crossed):
    with pytest.raises(OutcomeUnknownError):
        await crossed(nothing, etcd_is_lost).restore(LARGE, actor=None)


async def test_a_restoration_that_is_crossed_in_the_middle_says_so(store, users, crossed):
    async def crossing():
        await users.create("user149", HASH, "", user_limit=999)

    restored = await crossed(nothing, crossing).restore(LARGE, actor=None)
    assert restored.outcome is Outcome.INVALID
    assert restored.revision > 0
    assert "only a part of the backup is restored" in restored.detail


async def test_a_restoration_whose_actor_is_revoked_in_the_middle_stops(store, users, crossed):
    actor = Actor("bob", (await users.get("bob")).value.revision)
    restored = await crossed(nothing, lambda: users.delete("bob")).restore(LARGE, actor=actor)
    assert (restored.outcome, restored.applied) == (Outcome.INVALID, False)
    assert len((await users.list_all()).value) == 1


async def test_a_user_whose_hash_is_unusable_is_not_backed_up(client, keys, store):
    await put(client, **{keys.user("eve"): json.dumps({"encrypted_password": "x"}).encode()})
    assert [user.username for user in (await store.back_up()).value.users] == ["bob"]
