import base64

import grpclib
import pytest
from grpclib.const import Status
from grpclib.testing import ChannelFor

from vecguard.cli.accounts import AccountClient, User
from vecguard.cli.connection import Login
from vecguard.cli.exit_codes import ExitCode, NegativeError, NotAllowedError, exit_code_of
from vecguard.cli.login import accepts_anonymous_calls, check_login
from vecguard.cli.public_calls import LoginRefusedError, RateLimitedError, UnknownMethodError
from vecguard.cli.user import delete_if_present
from vecguard.errors import OverloadedError, UnavailableError
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.secret import Secret

LOGIN = Login("alice", Secret("pass:word ü"))


class Milvus(pb.MilvusServiceBase):
    """Answers every call with one thing."""

    def __init__(self, answer=None):
        self.answer = answer
        self.requests = []

    async def _say(self, request):
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def create_credential(self, create_credential_request):
        return await self._say(create_credential_request)

    async def update_credential(self, update_credential_request):
        return await self._say(update_credential_request)

    async def list_cred_users(self, list_cred_users_request):
        return await self._say(list_cred_users_request)

    async def select_user(self, select_user_request):
        return await self._say(select_user_request)


async def asked(answer, question):
    milvus = Milvus(answer)
    async with ChannelFor([milvus]) as channel:
        return await question(AccountClient(channel, "host:1", LOGIN)), milvus.requests


def refusal(status, message=""):
    return grpclib.GRPCError(status, message)


async def test_passwords_travel_as_base64_of_utf8():
    _, (request,) = await asked(
        common.Status(), lambda client: client.create("bob", Secret("sécret"), None)
    )
    assert request.username == "bob"
    assert base64.b64decode(request.password).decode() == "sécret"
    assert request.description is None


async def test_a_change_without_an_old_password_sends_none():
    _, (request,) = await asked(
        common.Status(), lambda client: client.change_password("bob", Secret("new"), None)
    )
    assert request.old_password == ""
    assert base64.b64decode(request.new_password) == b"new"


def test_a_login_is_base64_without_a_scheme():
    value = LOGIN.metadata()["authorization"]
    assert base64.b64decode(value).decode() == "alice:pass:word ü"
    assert "word" not in repr(LOGIN).replace("password=", "")


async def test_names_come_in_alphabetical_order():
    reply = pb.ListCredUsersResponse(usernames=["root", "alice"])
    names, _ = await asked(reply, lambda client: client.list_names())
    assert names == ["alice", "root"]


async def test_an_unknown_user_is_not_deleted():
    reply = pb.ListCredUsersResponse(usernames=["root", "alice"])
    deleted, requests = await asked(reply, lambda client: delete_if_present(client, "alcie"))
    assert not deleted
    assert len(requests) == 1


async def test_a_user_is_described_and_an_unknown_one_is_none():
    result = pb.UserResult(
        user=pb.UserEntity(name="bob"),
        roles=[pb.RoleEntity(name="public"), pb.RoleEntity(name="admin")],
        description="a builder",
    )
    found, _ = await asked(
        pb.SelectUserResponse(results=[result]), lambda client: client.describe("bob")
    )
    assert found == User("bob", ("admin", "public"), "a builder")
    found, _ = await asked(pb.SelectUserResponse(), lambda client: client.describe("bob"))
    assert found is None


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (refusal(Status.UNAUTHENTICATED, "no"), LoginRefusedError, ExitCode.NOT_ALLOWED),
        # Milvus before 2.3.3.
        (
            refusal(Status.UNKNOWN, "auth check failure, please check username"),
            LoginRefusedError,
            ExitCode.NOT_ALLOWED,
        ),
        (refusal(Status.PERMISSION_DENIED), NotAllowedError, ExitCode.NOT_ALLOWED),
        (refusal(Status.UNIMPLEMENTED), UnknownMethodError, ExitCode.NEGATIVE),
        (refusal(Status.UNAVAILABLE, "later"), UnavailableError, ExitCode.UNREACHABLE),
        (refusal(Status.RESOURCE_EXHAUSTED), OverloadedError, ExitCode.UNREACHABLE),
        (
            refusal(Status.RESOURCE_EXHAUSTED, "too many failed logins, try again in 3 s"),
            RateLimitedError,
            ExitCode.UNREACHABLE,
        ),
        (common.Status(code=1100, reason="bad name"), NegativeError, ExitCode.NEGATIVE),
        (common.Status(error_code=29), NegativeError, ExitCode.NEGATIVE),
        (
            common.Status(code=1, error_code=56, reason="not ready"),
            UnavailableError,
            ExitCode.UNREACHABLE,
        ),
    ],
)
async def test_each_answer_has_its_exit_code(answer, kind, code):
    with pytest.raises(kind) as caught:
        await asked(answer, lambda client: client.create("bob", Secret("secret"), None))
    assert exit_code_of(caught.value) is code
    assert "secret" not in caught.value.message


async def judged(answer):
    async with ChannelFor([Milvus(answer)]) as channel:
        return await check_login(channel, "host:1", LOGIN)


async def anybody(answer):
    async with ChannelFor([Milvus(answer)]) as channel:
        return await accepts_anonymous_calls(channel, "host:1")


async def test_a_login_that_may_not_ask_about_itself_is_accepted():
    assert (await judged(refusal(Status.PERMISSION_DENIED))).refusal is None
    assert (await judged(pb.SelectUserResponse())).refusal is None
    invalid = pb.SelectUserResponse(status=common.Status(code=1100, reason="bad name"))
    assert (await judged(invalid)).refusal is None
    assert "refused" in (await judged(refusal(Status.UNAUTHENTICATED, "no"))).refusal


async def test_a_call_without_a_login_shows_whether_authorization_is_on():
    assert not await anybody(refusal(Status.UNAUTHENTICATED, "missing authorization"))
    assert await anybody(refusal(Status.PERMISSION_DENIED))
    invalid = pb.SelectUserResponse(status=common.Status(code=1100, reason="bad name"))
    assert await anybody(invalid)


@pytest.mark.parametrize("question", [judged, anybody])
async def test_a_server_that_does_not_know_the_question_accepts_nothing(question):
    with pytest.raises(UnknownMethodError):
        await question(refusal(Status.UNIMPLEMENTED))
