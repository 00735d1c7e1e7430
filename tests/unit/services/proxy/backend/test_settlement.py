"""What became of a drop or a rename, by what the backend has now."""

import pytest

from vecguard.errors import OutcomeUnknownError, UnavailableError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.audit.audit_log import AccountChange, Action, NoAudit, RoleFields
from vecguard.proxy.backend.settlement import GONE, MOVED, STAYED, Settlement, judge
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal

BOOKS, TOMES = ("default", "books"), ("shop", "tomes")
DROP = pb.CollectionChange(database="default", name="books", collection_id=7, token="t")
RENAME = pb.CollectionChange(
    database="default", name="books", new_database="shop", new_name="tomes", collection_id=7
)
OLD = 120_000


def of(change, **changed):
    copy = pb.CollectionChange.FromString(bytes(change))
    for name, value in changed.items():
        setattr(copy, name, value)
    return copy


def backend(**ids):
    collections = {
        name: ids[key] for key, name in (("books", BOOKS), ("tomes", TOMES)) if key in ids
    }

    async def look(database, name):
        return collections.get((database, name))

    return look


@pytest.mark.parametrize(
    ("change", "has", "now", "later", "refused"),
    [
        (DROP, {}, GONE, GONE, GONE),
        (DROP, {"books": 8}, GONE, GONE, GONE),
        # It may still be dropped, until it is too late.
        (DROP, {"books": 7}, None, STAYED, STAYED),
        (RENAME, {"books": 7}, None, STAYED, STAYED),
        (RENAME, {"books": 7, "tomes": 9}, None, STAYED, STAYED),
        (RENAME, {"tomes": 7}, MOVED, MOVED, MOVED),
        (RENAME, {"books": 8, "tomes": 7}, MOVED, MOVED, MOVED),
        (RENAME, {}, GONE, GONE, GONE),
        (RENAME, {"tomes": 8}, GONE, GONE, GONE),
        (RENAME, {"books": 8}, GONE, GONE, GONE),
        # Without ids a collection of the name may be another one.
        (of(DROP, collection_id=0), {}, GONE, GONE, GONE),
        (of(DROP, collection_id=0), {"books": 0}, None, GONE, STAYED),
        (of(RENAME, collection_id=0), {"books": 0}, None, STAYED, STAYED),
        # It may ignore the other database, where there was another collection of the new name.
        (of(RENAME, collection_id=0), {"tomes": 0}, GONE, GONE, GONE),
        (of(RENAME, collection_id=0), {"books": 0, "tomes": 0}, None, GONE, STAYED),
        # There was no such collection to rename.
        (of(RENAME, collection_id=None), {}, None, STAYED, STAYED),
        (of(RENAME, collection_id=None), {"tomes": 7}, None, GONE, STAYED),
    ],
)
async def test_the_outcome_is_what_the_backend_shows(change, has, now, later, refused):
    look = backend(**has)
    assert await judge(change, look) is now
    assert await judge(change, look, is_over=True) is later
    assert await judge(change, look, has_failed=True) is refused


class Records:
    """Root coord."""

    proxy_id = "p"

    def __init__(self, *pending):
        self.changes = list(pending)
        self.ended = []
        self.error = None
        self.roles = []

    async def pending(self):
        if self.error:
            raise self.error
        return self.changes

    async def end(self, change, outcome):
        if self.error:
            raise self.error
        self.ended.append((change.token, outcome))
        mutation = pb.MutationReply(revision=9)
        return pb.EndCollectionChangeReply(mutation=mutation, roles=self.roles)


class Collections:
    def __init__(self, **ids):
        self._look = backend(**ids)
        self.error = None

    async def id_of(self, database, name, authorization):
        if self.error:
            raise self.error
        return await self._look(database, name)


def pending(change=DROP, age_ms=OLD):
    return pb.PendingCollectionChange(change=change, age_ms=age_ms)


async def test_what_another_proxy_left_is_ended():
    records = Records(pending(age_ms=5_000))
    await Settlement(records, Collections(), NoAudit()).look_once()
    assert records.ended == [("t", GONE)]


async def test_what_may_still_be_made_is_left():
    records = Records(pending(age_ms=60_000))
    settlement = Settlement(records, Collections(books=7), NoAudit())
    await settlement.look_once()
    assert records.ended == []
    records.changes = [pending(age_ms=OLD)]
    await settlement.look_once()
    assert records.ended == [("t", STAYED)]


async def test_changes_of_this_process_and_new_ones_are_left_alone():
    records = Records(pending(), pending(of(DROP, token="new"), age_ms=100))
    settlement = Settlement(records, Collections(), NoAudit())
    settlement.running.add("t")
    await settlement.look_once()
    await settlement.settle_of("default", "books", None)
    assert ("t", GONE) not in records.ended
    assert records.ended == [("new", GONE)]  # asked for by name, it is settled whatever its age


async def test_a_change_that_cannot_be_told_stays_and_is_logged(capsys):
    records, collections = Records(pending()), Collections()
    collections.error = UnavailableError("the backend wants a password")
    settlement = Settlement(records, collections, NoAudit())
    await settlement.look_once()
    assert records.ended == []
    assert not await settlement.settle(pending(age_ms=0), None)


async def test_without_ids_a_rename_within_its_database_moves():
    change = of(RENAME, collection_id=0, new_database="default")

    async def look(database, name):
        return 0 if (database, name) == ("default", "tomes") else None

    assert await judge(change, look) is MOVED


async def test_a_change_that_root_coord_does_not_end_does_not_keep_the_others():
    class Refusing(Records):
        async def end(self, change, outcome):
            if change.token.startswith("bad"):
                raise OutcomeUnknownError("a bug")
            return await super().end(change, outcome)

    records = Refusing(pending(of(DROP, token="bad")), pending(of(DROP, token="u")))
    settlement = Settlement(records, Collections(), NoAudit())
    settlement.end_later(of(DROP, token="bad later"), GONE)
    settlement.end_later(of(DROP, token="t"), STAYED)
    with pytest.raises(OutcomeUnknownError):
        await settlement.look_once()
    assert records.ended == [("t", STAYED), ("u", GONE)]


async def test_an_end_that_root_coord_did_not_hear_is_said_again():
    records = Records()
    settlement = Settlement(records, Collections(books=7), NoAudit())
    settlement.end_later(DROP, STAYED)
    records.error = UnavailableError("no root coord")
    with pytest.raises(UnavailableError):
        await settlement.look_once()
    records.error = None
    await settlement.look_once()
    await settlement.look_once()
    assert records.ended == [("t", STAYED)]


async def test_the_audit_log_gets_each_role_whose_grants_go_with_a_collection():
    class Audit(NoAudit):
        def account_changed(self, change):
            written.append(change)

    written = []
    records = Records(pending(age_ms=5_000))
    settlement = Settlement(records, Collections(), Audit())
    await settlement.end(DROP, STAYED)
    assert written == []
    records.roles = ["reader", "writer"]
    await settlement.look_once()
    await settlement.end(RENAME, MOVED, Caller(Principal("alice", 1), "192.0.2.1"))
    about = RoleFields(object="books", database="default")
    assert written == [
        AccountChange(Action.DROP_COLLECTION, "reader", None, None, revision=9, about=about),
        AccountChange(Action.DROP_COLLECTION, "writer", None, None, revision=9, about=about),
        AccountChange(
            Action.RENAME_COLLECTION, "reader", "alice", "192.0.2.1", revision=9, about=about
        ),
        AccountChange(
            Action.RENAME_COLLECTION, "writer", "alice", "192.0.2.1", revision=9, about=about
        ),
    ]
