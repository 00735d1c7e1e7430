"""The order of steps of a drop and a rename, and what each failure leaves."""

import asyncio

import pytest
from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError
from pymilvus.grpc_gen import common_pb2 as common
from pymilvus.grpc_gen import milvus_pb2 as milvus

from tests.support.credentials import ManualClock
from vecguard.errors import (
    DeadlineError,
    InvalidParameterError,
    OutcomeUnknownError,
    OverloadedError,
    UnavailableError,
)
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.audit.audit_log import NoAudit
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.authorization.errors import PermissionChangedError
from vecguard.proxy.backend import collection_changes
from vecguard.proxy.backend.collection_changes import (
    ChangeUnknownError,
    CollectionChangeService,
    CollectionChangingError,
    _Call,
)
from vecguard.proxy.backend.collections import (
    Collection,
    MilvusCollections,
    NotDescribedError,
)
from vecguard.proxy.backend.settlement import GONE, MOVED, STAYED, Settlement
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal

ALICE = Principal("alice", 101)
SERVICE = "/milvus.proto.milvus.MilvusService/"
GOOD = common.Status().SerializeToString()
BEGINNING = ["describe", "begin", "describe", "pending"]
APPLIED = pb.MutationReply(outcome=pb.MutationOutcome.APPLIED, revision=9)


def status(code, *, retriable=False):
    return common.Status(code=code, error_code=1, reason="no", retriable=retriable)


class Milvus:
    """A backend with collections, aliases and a script.

    Attributes:
        steps: what was called, records of root coord included.
        answer: to a drop or rename, once it was made if `makes` is True; raised if an error.
    """

    def __init__(self):
        self.collections = {("default", "books"): 7}
        self.aliases = {("default", "library"): "books"}
        self.steps = []
        self.answer = GOOD
        self.makes = True
        self.described = None

    async def ask(self, path, request, metadata, timeout_seconds):
        asked = milvus.DescribeCollectionRequest.FromString(request)
        self.steps.append("describe")
        if isinstance(self.described, Exception):
            raise self.described
        if self.described is not None:
            return milvus.DescribeCollectionResponse(status=self.described).SerializeToString()
        place = (asked.db_name, asked.collection_name)
        name = self.aliases.get(place, asked.collection_name)
        identity = self.collections.get((asked.db_name, name))
        if identity is None:
            return milvus.DescribeCollectionResponse(status=status(100)).SerializeToString()
        return milvus.DescribeCollectionResponse(
            collection_name=name, collectionID=identity
        ).SerializeToString()

    async def ask_once(self, path, request, metadata, timeout_seconds):
        self.steps.append(path.removeprefix(SERVICE))
        if self.makes and path.endswith("DropCollection"):
            asked = milvus.DropCollectionRequest.FromString(request)
            name = self.aliases.get(("default", asked.collection_name), asked.collection_name)
            self.collections.pop(("default", name), None)
        elif self.makes:
            asked = milvus.RenameCollectionRequest.FromString(request)
            identity = self.collections.pop(("default", asked.oldName))
            self.collections[asked.newDBName or "default", asked.newName] = identity
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def metadata(self, database, authorization):
        return {}


class Records:
    """Root coord.

    Attributes:
        open: by token, the changes that have begun here and not ended.
        left: those of other proxies.
    """

    proxy_id = "p"

    def __init__(self, milvus):
        self._steps = milvus.steps
        self.begun = []
        self.ended = []
        self.mutations = []
        self.end_errors = []
        self.open = {}
        self.left = []

    async def begin(self, change, *, asked_by):
        self._steps.append("begin")
        self.begun.append(pb.CollectionChange.FromString(bytes(change)))
        found = self.mutations.pop(0) if self.mutations else APPLIED
        if isinstance(found, Exception):
            raise found
        if isinstance(found, pb.BeginCollectionChangeReply):
            return found
        if found is APPLIED:
            self.open[change.token] = change
        return pb.BeginCollectionChangeReply(mutation=found)

    async def end(self, change, outcome):
        self._steps.append("end")
        if self.end_errors:
            raise self.end_errors.pop(0)
        self.open.pop(change.token, None)
        self.ended.append((change.name, outcome))
        return pb.EndCollectionChangeReply()

    async def pending(self):
        self._steps.append("pending")
        return [
            *self.left,
            *(pb.PendingCollectionChange(change=each) for each in self.open.values()),
        ]


class Part:
    def __init__(self):
        self.milvus = Milvus()
        self.records = Records(self.milvus)
        self.clock = ManualClock()
        self.settlement = Settlement(self.records, None, NoAudit())
        self.forgotten = []
        self.service = CollectionChangeService(
            self.milvus,
            self.records,
            self.settlement,
            refused=self.forgotten.append,
            clock=self.clock,
        )
        self.settlement._collections = self.service._collections

    async def drop(self, name="books"):
        request = milvus.DropCollectionRequest(collection_name=name).SerializeToString()
        change = pb.CollectionChange(database="default", name=name)
        return await self._make("DropCollection", request, change)

    async def rename(self, name="books", new_name="tomes", new_database="default"):
        request = milvus.RenameCollectionRequest(
            oldName=name, newName=new_name, newDBName=new_database
        ).SerializeToString()
        change = pb.CollectionChange(
            database="default", name=name, new_database=new_database, new_name=new_name
        )
        return await self._make("RenameCollection", request, change)

    async def _make(self, method, request, change):
        call = _Call(SERVICE + method, request, Caller(ALICE), {}, None)
        return await self.service._make(call, change, is_rename=method[0] == "R")


@pytest.fixture
def part(monkeypatch):
    monkeypatch.setattr(collection_changes, "_PAUSE_SECONDS", 0)
    return Part()


async def test_a_drop_is_begun_before_the_backend_is_asked_and_ended_before_the_answer(part):
    assert await part.drop() == GOOD
    assert part.milvus.steps == [*BEGINNING, "DropCollection", "end"]
    (begun,) = part.records.begun
    assert (begun.name, begun.collection_id, begun.proxy_id) == ("books", 7, "p")
    assert len(begun.token) == 32
    assert part.records.ended == [("books", GONE)]
    assert not part.settlement.running


async def test_a_drop_or_rename_by_an_alias_is_refused(part):
    # The alias could be altered after it was looked up, and then another collection is dropped.
    for refused in (part.drop("library"), part.rename("library"), part.rename("library", "books")):
        with pytest.raises(InvalidParameterError, match="alias 'library'; use its name 'books'"):
            await refused
    assert set(part.milvus.steps) == {"describe"}


class Between:
    """Does something between a change's first look at the backend and its second one."""

    def __init__(self, part, do):
        self._begin = part.records.begin
        self._do = do
        self._done = False
        part.records.begin = self.begin

    async def begin(self, change, *, asked_by):
        reply = await self._begin(change, asked_by=asked_by)
        if not self._done:
            self._done = True
            self._do(change)
        return reply


@pytest.mark.parametrize("identity", [7, 0])
async def test_a_collection_that_was_created_again_meanwhile_is_not_dropped_without_a_record(
    part, identity
):
    part.milvus.collections["default", "books"] = identity

    def drop_and_create(change):
        # Before the begin another proxy has dropped the collection. After it, another one has seen
        # no collection and ended this change; then the name got a new collection.
        part.records.open.clear()
        part.milvus.collections["default", "books"] = 8 if identity else 0

    Between(part, drop_and_create)
    assert await part.drop() == GOOD
    first, second = part.records.begun
    assert first.token != second.token
    assert second.collection_id == (8 if identity else 0)
    assert part.records.ended == [("books", STAYED), ("books", GONE)]
    assert part.milvus.steps.count("DropCollection") == 1


async def test_a_refused_rename_of_a_collection_that_was_created_again_keeps_its_grants(part):
    part.milvus.makes = False
    part.milvus.answer = status(65535).SerializeToString()
    Between(part, lambda change: part.milvus.collections.update({("default", "books"): 8}))
    await part.rename()
    assert part.records.ended == [("books", STAYED), ("books", STAYED)]


async def test_a_backend_that_is_lost_after_the_begin_is_not_asked_for_the_change(part):
    def lose(change):
        part.milvus.described = UnavailableError("down")

    Between(part, lose)
    with pytest.raises(UnavailableError):
        await part.drop()
    assert "DropCollection" not in part.milvus.steps
    await part.settlement._records.end(*next(iter(part.settlement._to_end.values())))
    assert part.records.ended == [("books", STAYED)]


async def test_a_second_attempt_does_not_keep_the_id_of_the_first(part):
    other = pb.CollectionChange(
        database="default",
        name="books",
        new_database="default",
        new_name="tomes",
        collection_id=7,
        token="x",
    )
    part.records.mutations = [changing(change=other, age_ms=10), APPLIED]
    del part.milvus.collections["default", "books"]
    part.milvus.collections["default", "tomes"] = 7
    found = [Collection("books", 7)]
    find = part.service._collections.find

    async def first_found(*place):
        return found.pop() if found else await find(*place)

    part.service._collections.find = first_found
    part.settlement._collections = MilvusCollections(part.milvus)
    part.milvus.makes = False
    part.milvus.answer = status(100).SerializeToString()
    await part.rename()
    assert part.records.begun[-1].collection_id is None
    # Grants on a name that has no collection stay.
    assert part.records.ended == [("books", MOVED), ("books", STAYED)]


async def test_a_backend_that_does_not_describe_collections_gets_no_drop(part):
    part.milvus.described = GRPCError(GrpcStatus.UNIMPLEMENTED, "unknown method")
    with pytest.raises(NotDescribedError, match="and the backend refuses: unknown"):
        await part.drop()
    passing = GRPCError(GrpcStatus.RESOURCE_EXHAUSTED, "slow down")
    # The code of Milvus Lite for a missing database is another error in Milvus.
    for described, text in ((passing, "slow down"), (status(6), r"no \(code 6\)")):
        part.milvus.described = described
        with pytest.raises(UnavailableError, match=text):
            await part.drop()
    assert "DropCollection" not in part.milvus.steps


async def test_a_drop_of_nothing_succeeds_without_the_backend(part):
    part.records.left = [
        pb.PendingCollectionChange(
            change=pb.CollectionChange(
                database="default", name="films", collection_id=3, token="x"
            ),
            age_ms=10,
        )
    ]
    assert await part.drop("films") == b""
    assert "DropCollection" not in part.milvus.steps
    assert not part.records.begun
    # What a dead proxy has left of an earlier drop is ended now.
    assert part.records.ended == [("films", GONE)]


@pytest.mark.parametrize(
    "refused",
    # The last is Milvus Lite's, for a database that it does not have.
    [status(800), status(1100), common.Status(code=6, error_code=6)],
)
async def test_a_name_that_the_backend_refuses_gets_its_own_answer(part, refused):
    part.milvus.described = refused
    part.milvus.answer = refused.SerializeToString()
    assert await part.drop() == part.milvus.answer
    assert not part.records.begun


async def test_an_empty_name_gets_the_backends_answer(part):
    part.milvus.makes = False
    for made in (part.drop(""), part.rename(new_name="")):
        await made
    assert part.milvus.steps == ["DropCollection", "RenameCollection"]


async def test_a_rename_moves(part):
    assert await part.rename() == GOOD
    assert part.milvus.steps == [*BEGINNING, "RenameCollection", "end"]
    assert part.records.ended == [("books", MOVED)]


async def test_a_rename_into_another_database_is_looked_at(part):
    await part.rename(new_database="shop")
    assert part.records.ended == [("books", MOVED)]


async def test_a_backend_that_ignores_the_other_database_loses_the_grants(part):
    part.milvus.makes = False
    part.milvus.collections = {("default", "tomes"): 7, ("default", "books"): 7}
    original = part.milvus.ask_once

    async def renamed_at_home(*arguments):
        del part.milvus.collections["default", "books"]
        return await original(*arguments)

    part.milvus.ask_once = renamed_at_home
    await part.rename(new_database="shop")
    assert part.records.ended == [("books", GONE)]


async def test_a_rename_to_the_same_name_changes_no_grants(part):
    part.milvus.makes = False
    await part.rename("books", "books")
    assert part.milvus.steps == ["describe", "RenameCollection"]


async def test_a_refusal_of_the_backend_passes_and_the_grants_stay(part):
    part.milvus.makes = False
    part.milvus.answer = status(65535).SerializeToString()
    assert await part.rename() == part.milvus.answer
    part.milvus.answer = GRPCError(GrpcStatus.PERMISSION_DENIED, "no")
    with pytest.raises(GRPCError):
        await part.drop()
    assert part.records.ended == [("books", STAYED), ("books", STAYED)]


async def test_an_answer_that_leaves_it_open_leaves_the_change_open(part):
    part.milvus.makes = False
    late = common.Status(code=65535, reason="rpc error: code = Unavailable desc = closing")
    for answer in (status(2, retriable=True), status(10_001), status(10_000), status(5), late):
        part.milvus.answer = answer.SerializeToString()
        assert await part.drop() == part.milvus.answer
    part.milvus.answer = GRPCError(GrpcStatus.UNAVAILABLE, "restarting")
    with pytest.raises(GRPCError):
        await part.drop()
    assert part.records.ended == []


@pytest.mark.parametrize("error", [UnavailableError("lost"), DeadlineError("late")])
@pytest.mark.parametrize("makes", [True, False])
async def test_a_lost_answer_is_settled_by_what_the_backend_has(part, error, makes):
    part.milvus.makes, part.milvus.answer = makes, error
    with pytest.raises(ChangeUnknownError):
        await part.drop()
    # It may still be made if it was not.
    assert part.records.ended == ([("books", GONE)] if makes else [])


async def test_an_answer_that_cannot_be_read_is_a_lost_one(part):
    part.milvus.answer = b"\xff"
    with pytest.raises(ChangeUnknownError):
        await part.drop()
    assert part.records.ended == [("books", GONE)]


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (pb.MutationOutcome.ACTOR_REVOKED, RevokedError),
        (pb.MutationOutcome.ACTOR_RIGHTS_CHANGED, PermissionChangedError),
    ],
)
async def test_the_backend_is_not_asked_unless_the_change_has_begun(part, refused, error):
    part.records.mutations = [pb.MutationReply(outcome=refused)]
    with pytest.raises(error):
        await part.drop()
    assert part.forgotten == ["alice"]
    part.milvus.described = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await part.drop()
    assert "DropCollection" not in part.milvus.steps


async def test_a_begin_whose_answer_is_lost_is_repeated_with_the_same_token(part):
    part.records.mutations = [OutcomeUnknownError("?"), UnavailableError("?"), APPLIED]
    assert await part.drop() == GOOD
    assert len({each.token for each in part.records.begun}) == 1
    assert len(part.records.begun) == 3


async def test_a_begin_that_stays_unknown_is_ended_later_and_nothing_dropped(part):
    async def begin(change, *, asked_by):
        part.clock.advance(4)
        raise OutcomeUnknownError("?")

    part.records.begin = begin
    with pytest.raises(OutcomeUnknownError):
        await part.drop()
    assert "DropCollection" not in part.milvus.steps
    await part.settlement.look_once()
    assert part.records.ended == [("books", STAYED)]


async def test_a_begin_that_took_too_long_is_not_followed_by_the_call(part):
    original = part.records.begin

    async def begin(change, *, asked_by):
        part.clock.advance(61)
        return await original(change, asked_by=asked_by)

    part.records.begin = begin
    with pytest.raises(DeadlineError):
        await part.drop()
    assert "DropCollection" not in part.milvus.steps
    await part.settlement.look_once()
    assert part.records.ended == [("books", STAYED)]


async def test_an_end_is_said_again_until_root_coord_hears_it(part):
    part.records.end_errors = [UnavailableError("?"), OutcomeUnknownError("?")]
    assert await part.drop() == GOOD
    assert part.records.ended == [("books", GONE)]


async def test_a_drop_whose_end_root_coord_does_not_hear_succeeds_and_is_ended_later(part):
    end = part.records.end

    async def unheard(change, outcome):
        part.clock.advance(4)
        raise UnavailableError("?")

    part.records.end = unheard
    assert await part.drop() == GOOD
    part.records.end = end
    await part.settlement.look_once()
    assert part.records.ended == [("books", GONE)]


def changing(**pending):
    return pb.BeginCollectionChangeReply(
        mutation=pb.MutationReply(outcome=pb.MutationOutcome.COLLECTION_CHANGING),
        pending=pb.PendingCollectionChange(**pending),
    )


async def test_a_change_that_is_in_the_way_is_settled_first(part):
    other = pb.CollectionChange(database="default", name="books", collection_id=3, token="x")
    part.records.mutations = [changing(change=other, age_ms=10)]
    assert await part.drop() == GOOD
    assert part.records.ended == [("books", GONE), ("books", GONE)]
    assert part.milvus.steps.count("DropCollection") == 1


@pytest.mark.parametrize("identity", [7, 0])
async def test_a_change_that_may_still_be_made_is_waited_for(part, identity):
    other = pb.CollectionChange(database="default", name="books", collection_id=identity, token="x")
    part.records.mutations = [changing(change=other, age_ms=10)]
    with pytest.raises(CollectionChangingError):
        await part.drop()
    assert part.records.ended == []
    assert "DropCollection" not in part.milvus.steps


async def test_a_record_that_cannot_be_read_is_in_the_way(part):
    part.records.mutations = [changing()]
    with pytest.raises(CollectionChangingError):
        await part.drop()


async def test_a_change_goes_on_when_its_caller_hangs_up(part):
    begun, go_on = asyncio.Event(), asyncio.Event()
    original = part.milvus.ask_once

    async def slow(*arguments):
        begun.set()
        await go_on.wait()
        return await original(*arguments)

    part.milvus.ask_once = slow
    request = milvus.DropCollectionRequest(collection_name="books").SerializeToString()
    call = _Call(SERVICE + "DropCollection", request, Caller(ALICE), {}, None)
    change = pb.CollectionChange(database="default", name="books")
    answering = asyncio.create_task(part.service._carried_through(call, change, is_rename=False))
    await begun.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    go_on.set()
    (running,) = part.service._running
    await running
    assert part.records.ended == [("books", GONE)]


async def test_no_user_takes_all_places(part):
    """Changes go on without their callers, so a slow backend keeps them."""
    go_on = asyncio.Event()

    async def slow(*_):
        await go_on.wait()
        return GOOD

    part.milvus.ask_once = slow
    request = milvus.DropCollectionRequest(collection_name="books").SerializeToString()

    def carried_through(username):
        # The name is empty, so the backend is asked at once.
        call = _Call(
            SERVICE + "DropCollection", request, Caller(Principal(username, 101)), {}, None
        )
        return part.service._carried_through(call, pb.CollectionChange(), is_rename=False)

    of_alice = [asyncio.create_task(carried_through("alice")) for _ in range(40)]
    of_bob = asyncio.create_task(carried_through("bob"))
    refused, _ = await asyncio.wait(of_alice, return_when=asyncio.FIRST_EXCEPTION)
    assert len(refused) == 40 - 25
    assert all(isinstance(task.exception(), OverloadedError) for task in refused)
    go_on.set()
    assert await of_bob == GOOD
    assert [await task for task in of_alice if task not in refused] == [GOOD] * 25
    assert await carried_through("alice") == GOOD
