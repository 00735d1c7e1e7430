"""What becomes of a list whose caller's roles change while it is filtered."""

import pytest
from pymilvus.grpc_gen import milvus_pb2 as milvus

from vecguard.errors import OverloadedError
from vecguard.proxy.authorization.policy import Grant, Rights, RolePolicy
from vecguard.proxy.backend.listed_reply import DATABASES
from vecguard.proxy.backend.lists import Lists
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal

ALICE = Caller(Principal("alice", 101))
REPLY = milvus.ListDatabasesResponse(db_names=["a", "b", "c"]).SerializeToString()


class Standing:
    def __init__(self, rights):
        self.rights = rights


class Authorizer:
    """Returns one after the other, of which only the last is current."""

    def __init__(self, *databases):
        self.standings = [
            Standing(
                Rights([RolePolicy("r", [Grant("Collection", name, "x", "PrivilegeSearch")], {})])
            )
            for name in databases
        ]

    async def rights_after_wait(self, username):
        return self.standings.pop(0)

    def is_current(self, standing):
        return not self.standings


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


async def test_a_list_is_filtered_again_by_newer_roles():
    assert await answer(Authorizer("a", "b", "c")) == ["c"]


async def test_a_list_is_not_filtered_without_end():
    with pytest.raises(OverloadedError):
        await answer(Authorizer(*"abcabc"))


async def test_everything_passes_as_it_is():
    assert await answer(Authorizer("*")) == ["a", "b", "c"]
