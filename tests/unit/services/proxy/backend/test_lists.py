"""What becomes of a list whose caller's roles change while it is filtered."""

from pymilvus.grpc_gen import milvus_pb2 as milvus

from vecguard.proxy.authorization.policy import Grant, Rights, RolePolicy
from vecguard.proxy.backend.listed_reply import DATABASES
from vecguard.proxy.backend.lists import Lists
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal

ALICE = Caller(Principal("alice", 101))
REPLY = milvus.ListDatabasesResponse(db_names=["a", "b", "c"]).SerializeToString()


class Authorizer:
    """Knows that the caller may search a collection of one database."""

    def __init__(self, database):
        grant = Grant("Collection", database, "x", "PrivilegeSearch")
        self._rights = Rights([RolePolicy("r", [grant], {})])

    async def rights_after_wait(self, username):
        return self._rights, ("r",)


class Stream:
    def __init__(self):
        self.sent = []

    async def send_message(self, message):
        self.sent.append(message)


async def answer(authorizer):
    lists, stream = Lists(None, authorizer), Stream()
    await lists._answer(stream, ALICE, REPLY, DATABASES, lambda seen: seen.databases)
    (sent,) = stream.sent
    return list(milvus.ListDatabasesResponse.FromString(sent).db_names)


async def test_a_list_shows_what_the_caller_may_see():
    assert await answer(Authorizer("c")) == ["c"]


async def test_everything_passes_as_it_is():
    assert await answer(Authorizer("*")) == ["a", "b", "c"]
