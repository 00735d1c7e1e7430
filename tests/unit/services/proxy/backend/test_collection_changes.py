"""The order of steps of a drop and a rename, and what each failure leaves."""

import asyncio

import pytest
from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError
from pymilvus.grpc_gen import common_pb2 as common
from pymilvus.grpc_gen import milvus_pb2 as milvus

from tests.support.credentials import ManualClock
from vecguard.errors import DeadlineError, OutcomeUnknownError, UnavailableError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.backend import collection_changes
from vecguard.proxy.backend.collection_changes import (
    ChangeUnknownError,
    CollectionChangeService,
    CollectionChangingError,
    _Call,
)
from vecguard.proxy.backend.settlement import GONE, MOVED, STAYED, Settlement
from vecguard.proxy.principal import Principal

ALICE = Principal("alice", 101)
SERVICE = "/milvus.proto.milvus.MilvusService/"
GOOD = common.Status().SerializeToString()
APPLIED = pb.MutationReply(outcome=pb.MutationOutcome.APPLIED, revision=9)


def status(code, *, error_code=1, retriable=False):
    return common.Status(code=code, error_code=error_code, reason="no", retriable=retriable)


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
    proxy_id = "p"

    def __init__(self, milvus):
        self._steps = milvus.steps
        self.begun = []
        self.ended = []
        self.mutations = []
        self.end_errors = []
        self.left = []

    async def begin(self, change, *, asked_by):
        self._steps.append("begin")
        self.begun.append(pb.CollectionChange.FromString(bytes(change)))
        found = self.mutations.pop(0) if self.mutations else APPLIED
        if isinstance(found, Exception):
            raise found
        if isinstance(found, pb.BeginCollectionChangeReply):
            return found
        return pb.BeginCollectionChangeReply(mutation=found)

    async def end(self, change, outcome):
        self._steps.append("end")
        if self.end_errors:
            raise self.end_errors.pop(0)
        self.ended.append((change.name, outcome))

    async def pending(self):
        return self.left


class Part:
    def __init__(self):
        self.milvus = Milvus()
        self.records = Records(self.milvus)
        self.clock = ManualClock()
        self.settlement = Settlement(self.records, None)
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
        call = _Call(SERVICE + method, request, ALICE, {}, None)
        return await self.service._make(call, change, is_rename=method[0] == "R")


@pytest.fixture
def part(monkeypatch):
    monkeypatch.setattr(collection_changes, "_PAUSE_SECONDS", 0)
    return Part()


async def test_a_drop_is_begun_before_the_backend_is_asked_and_ended_before_the_answer(part):
    assert await part.drop() == GOOD
    assert part.milvus.steps == ["describe", "begin", "DropCollection", "end"]
    (begun,) = part.records.begun
    assert (begun.name, begun.collection_id, begun.proxy_id) == ("books", 7, "p")
    assert len(begun.token) == 32
    assert part.records.ended == [("books", GONE)]
    assert not part.settlement.running


async def test_a_drop_by_an_alias_is_about_the_collection(part):
    await part.drop("library")
    assert part.records.begun[0].name == "books"
    assert part.records.ended == [("books", GONE)]


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
    "refusal",
    [
        {"code": 800},
        {"code": 1100},
        pytest.param({"code": 6, "error_code": 6}, id="Milvus Lite, unknown database"),
    ],
)
async def test_a_name_that_the_backend_refuses_gets_its_own_answer(part, refusal):
    part.milvus.described = status(**refusal)
    part.milvus.answer = status(**refusal).SerializeToString()
    assert await part.drop() == part.milvus.answer
    assert not part.records.begun


async def test_an_empty_name_gets_the_backends_answer(part):
    part.milvus.makes = False
    for made in (part.drop(""), part.rename(new_name="")):
        await made
    assert part.milvus.steps == ["DropCollection", "RenameCollection"]


async def test_a_rename_moves(part):
    assert await part.rename() == GOOD
    assert part.milvus.steps == ["describe", "begin", "RenameCollection", "end"]
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
    await part.rename("library", "books")
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
    part.milvus.answer = status(2, retriable=True).SerializeToString()
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


async def test_the_backend_is_not_asked_unless_the_change_has_begun(part):
    part.records.mutations = [pb.MutationReply(outcome=pb.MutationOutcome.ACTOR_REVOKED)]
    with pytest.raises(RevokedError):
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
    call = _Call(SERVICE + "DropCollection", request, ALICE, {}, None)
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
