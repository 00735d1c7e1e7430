"""Calls of users, generated from what their roles allow; and whether a server allows them."""

import asyncio
import base64
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pymilvus.grpc_gen import milvus_pb2

from tests.milvus_2_3_5.policy import (
    COLLECTIONS,
    MEMBERS,
    ROOT_PASSWORD,
    Grant,
    Policy,
    password_of,
)
from vecguard.proxy.authorization.methods import METHODS, Need

_SERVICE = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
_CONCURRENT_CALLS = 16
_CALL_SECONDS = 30.0
# An alias, a role or a user of this name never exists.
_UNKNOWN = "unknown"
# A drop that succeeds takes grants along, so nothing that is granted is dropped.
_DOOMED = "doomed"
_COLLECTION_FIELDS = {"collection_name", "collectionName", "collection_names"}
# The database that these make and remove is the object, and they are to do neither.
_DATABASE_IS_OBJECT = ("CreateDatabase", "DropDatabase")
#: Methods for which Milvus 2.3.5 wants another privilege than ours.
FORMER_PRIVILEGES = {"GetLoadState": "Load", "GetLoadingProgress": "Load"}
# What means that a server did not decide.
_UNDECIDED = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


class Outcome(Enum):
    """A call that is allowed may still fail: there are no collections."""

    ALLOWED = auto()
    REFUSED = auto()
    IMPOSSIBLE_NAME = auto()
    UNKNOWN_METHOD = auto()


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        header: the header `dbname`; None sends none, which means `default`.
        body: the database in the request, or "".
        names: of the collections, the user or the role that it is about.
    """

    username: str
    method: str
    header: str | None
    body: str
    names: tuple[str, ...]

    @property
    def need(self) -> Need | None:
        """What the method needs here."""
        return METHODS.get(self.path.encode())

    @property
    def path(self) -> str:
        return f"/{_SERVICE.full_name}/{self.method}"

    @property
    def header_database(self) -> str:
        return self.header or "default"

    @property
    def database(self) -> str:
        """The database that it is about."""
        return self.body or self.header_database

    def request(self) -> Message:
        """The message; it changes nothing if it is allowed."""
        kind = GetMessageClass(_SERVICE.methods_by_name[self.method].input_type)
        message = kind()
        fields = kind.DESCRIPTOR.fields_by_name
        name = self.names[0]
        for field in _COLLECTION_FIELDS.intersection(fields):
            if isinstance(getattr(message, field), str):
                setattr(message, field, _DOOMED if self.method == "DropCollection" else name)
            else:
                getattr(message, field).extend(self.names)
        if "db_name" in fields and self.method not in _DATABASE_IS_OBJECT:
            message.db_name = self.body
        match self.method:
            case "UpdateCredential":
                message.username = name
            case "SelectUser":
                message.user.name = name
            case "SelectGrant":
                message.entity.role.name = name
            case "DeleteCredential":
                message.username = _UNKNOWN
            case "DropRole":
                message.role_name = _UNKNOWN
        return message


def generated(
    dice: random.Random, policy: Policy, methods: Sequence[str], number: int
) -> list[Case]:
    """So many cases of each user; most are near a grant of the user."""
    return [
        _near(dice, policy, username, methods)
        if dice.random() < 0.7
        else _any(dice, policy, username, dice.choice(methods))
        for username in policy.users
        for _ in range(number)
    ]


def _near(dice: random.Random, policy: Policy, username: str, methods: Sequence[str]) -> Case:
    grant = dice.choice(policy.of_user(username))
    fitting = [method for method in methods if _is_about(method, grant)]
    if not fitting:
        return _any(dice, policy, username, dice.choice(methods))
    case = _any(dice, policy, username, dice.choice(fitting))
    header, body, names = case.header, case.body, case.names
    if grant.database != "*" and dice.random() < 0.7:
        header = grant.database
        body = dice.choice(("", header))
    if grant.name != "*" and dice.random() < 0.7:
        names = (grant.name, *names[1:])
    return Case(username, case.method, header, body, names)


def _is_about(method: str, grant: Grant) -> bool:
    need = METHODS.get(f"/{_SERVICE.full_name}/{method}".encode())
    if need is None:
        return False
    if grant.privilege == "All":
        return True
    if grant.privilege in MEMBERS:
        return need.privilege.removeprefix("Privilege") in MEMBERS[grant.privilege]
    privileges = ("*", need.privilege.removeprefix("Privilege"), FORMER_PRIVILEGES.get(method))
    return need.object_type == grant.object_type and grant.privilege in privileges


def _any(dice: random.Random, policy: Policy, username: str, method: str) -> Case:
    header = dice.choice((None, "default", "other"))
    body = dice.choice(("", header or "default", "default", "other"))
    if method in ("UpdateCredential", "SelectUser"):
        names: tuple[str, ...] = (dice.choice((username, *policy.users, _UNKNOWN)),)
    elif method == "SelectGrant":
        names = (dice.choice((*policy.users[username], "public", *policy.roles, _UNKNOWN)),)
    else:
        more = dice.choice((0, 0, 1)) if method == "Flush" else 0
        names = tuple(dice.sample((*COLLECTIONS, *COLLECTIONS, _UNKNOWN, "a.b"), 1 + more))
    return Case(username, method, header, body, names)


def methods() -> list[str]:
    """Every unary method of the installed pymilvus."""
    return [
        method.name
        for method in _SERVICE.methods
        if not (method.client_streaming or method.server_streaming)
    ]


async def known_methods(address: str) -> list[str]:
    """The methods that a server has."""
    names = methods()
    cases = [Case("root", name, None, "", (_UNKNOWN,)) for name in names]
    outcomes = await ask(address, cases)
    return [
        name
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome is not Outcome.UNKNOWN_METHOD
    ]


async def ask(address: str, cases: Iterable[Case]) -> list[Outcome]:
    """How a server decides each case."""
    turns = asyncio.Semaphore(_CONCURRENT_CALLS)
    async with grpc.aio.insecure_channel(address) as channel:

        async def outcome(case: Case) -> Outcome:
            async with turns:
                return await _outcome(channel, case)

        return await asyncio.gather(*map(outcome, cases))


async def _outcome(channel: grpc.aio.Channel, case: Case) -> Outcome:
    password = ROOT_PASSWORD if case.username == "root" else password_of(case.username)
    login = base64.b64encode(f"{case.username}:{password}".encode()).decode()
    metadata = [("authorization", login)]
    if case.header is not None:
        metadata.append(("dbname", case.header))
    try:
        await channel.unary_unary(case.path)(
            case.request().SerializeToString(), metadata=metadata, timeout=_CALL_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        code, details = error.code(), error.details() or ""
        assert code not in _UNDECIDED, f"{case}: {code} {details}"
        if code is grpc.StatusCode.PERMISSION_DENIED:
            assert "permission deny" in details, f"{case}: {details}"
            return Outcome.REFUSED
        if code is grpc.StatusCode.INVALID_ARGUMENT and "invalid collection name" in details:
            return Outcome.IMPOSSIBLE_NAME
        if code is grpc.StatusCode.UNIMPLEMENTED and "unknown method" in details:
            return Outcome.UNKNOWN_METHOD
    return Outcome.ALLOWED
