"""The account RPCs over a real connection, as the relay calls them."""

import base64

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.support.account_service import running_account_service
from tests.support.credentials import encoded
from vecguard.errors import OutcomeUnknownError
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.proxy.accounts import accounts as module
from vecguard.proxy.accounts.errors import InvalidAccountError, OutdatedRootCoordError


class ServiceHarness:
    def __init__(self, directory, channel):
        self.directory = directory
        self._channel = channel

    def as_(self, username, **metadata):
        if username is not None:
            metadata["x-vecguard-user"] = username
        return pb.MilvusServiceStub(self._channel, timeout=10, metadata=metadata)


@pytest.fixture
async def harness():
    async with running_account_service("root", "bob") as (directory, channel):
        yield ServiceHarness(directory, channel)


def create_request(username="new", password="first1", **options):
    return pb.CreateCredentialRequest(username=username, password=encoded(password), **options)


def update_request(username, old, new, **options):
    return pb.UpdateCredentialRequest(
        username=username, old_password=encoded(old), new_password=encoded(new), **options
    )


async def refusal_of(call):
    with pytest.raises(GRPCError) as refusal:
        await call
    return refusal.value.status, refusal.value.message


async def test_a_success_is_an_all_default_status(harness):
    root = harness.as_("root")
    assert await root.create_credential(create_request()) == common.Status()
    assert await root.update_credential(update_request("new", "", "second2")) == common.Status()
    assert (
        await root.delete_credential(pb.DeleteCredentialRequest(username="new")) == common.Status()
    )


async def test_that_root_coord_is_outdated_is_a_status_in_the_reply(harness, monkeypatch):
    """pymilvus repeats a call for minutes that ends with UNAVAILABLE or FAILED_PRECONDITION."""

    async def refuse(*_, **__):
        raise OutdatedRootCoordError("r1:53100")

    monkeypatch.setattr(harness.directory, "create", refuse)
    status = await harness.as_("root").create_credential(create_request())
    assert status.code == 65535
    assert "r1:53100" in status.reason
    assert "upgrade root coord" in status.reason
    assert not status.retriable


async def test_a_failure_is_a_status_in_the_reply(harness):
    status = await harness.as_("root").create_credential(create_request("bob"))
    assert (status.code, status.error_code) == (1100, 29)
    assert status.reason == "user already exists: bob: invalid parameter"
    assert not status.retriable
    assert status.extra_info == {"is_input_error": "true"}


@pytest.mark.parametrize(
    ("request_", "code", "legacy", "reason"),
    [
        (create_request(""), 1100, 5, "username must be not empty: invalid parameter"),
        (
            create_request("new", "short"),
            1100,
            5,
            "invalid password length: invalid parameter[5 out of range 6 <= value <= 256]",
        ),
        (
            create_request("1new"),
            1100,
            5,
            (
                "invalid user name 1new, the first character must be a letter, but got 1: "
                "invalid parameter"
            ),
        ),
    ],
)
async def test_broken_rules_have_milvus_codes_and_texts(harness, request_, code, legacy, reason):
    status = await harness.as_("root").create_credential(request_)
    assert (status.code, status.error_code, status.reason) == (code, legacy, reason)


async def test_a_wrong_old_password_has_milvus_code_and_text(harness):
    status = await harness.as_("bob").update_credential(update_request("bob", "wrong", "second2"))
    assert (status.code, status.error_code) == (1400, 1)
    assert status.reason == "old password not correct for bob: not authenticated"
    assert status.extra_info == {}


async def test_root_protection_has_milvus_code_and_text(harness):
    status = await harness.as_("root").delete_credential(
        pb.DeleteCredentialRequest(username="root")
    )
    assert (status.code, status.error_code) == (1401, 1)
    assert status.reason == "root user cannot be deleted: privilege not permitted"


BAD_BASE64 = ["first1!", "a", "YQ", "пароль", "\u0661", base64.b64encode(b"\xff\xff").decode()]


@pytest.mark.parametrize("text", BAD_BASE64)
async def test_passwords_that_are_no_base64_are_refused_in_milvus_words(harness, text):
    root, bob = harness.as_("root"), harness.as_("bob")
    answers = [
        await root.create_credential(pb.CreateCredentialRequest(username="new", password=text)),
        await bob.update_credential(
            pb.UpdateCredentialRequest(
                username="bob", old_password=text, new_password=encoded("second2")
            )
        ),
        await bob.update_credential(
            pb.UpdateCredentialRequest(
                username="bob", old_password=encoded("bob-first1"), new_password=text
            )
        ),
    ]
    beginnings = (
        "decode password fail: ",
        "decode old password failed: ",
        "decode password failed: ",
    )
    for status, beginning in zip(answers, beginnings, strict=True):
        assert (status.code, status.error_code) == (1100, 5)
        assert status.reason == f"{beginning}not base64 of UTF-8: invalid parameter"
    assert harness.directory.changes == []


@pytest.mark.parametrize("octets", [b"hunter2-marker\xff", b"hunter2-marker"])
def test_a_refused_password_is_not_carried_by_the_error(octets):
    text = base64.b64encode(octets).decode() + ("" if b"\xff" in octets else "!")
    with pytest.raises(InvalidAccountError) as refusal:
        module._decoded(text, "decode password fail")
    assert refusal.value.__context__ is None
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("password", ["pass:word", "пароль", "a\1bcde", "x" * 256, " spaces "])
async def test_every_password_arrives_unchanged(harness, password):
    await harness.as_("root").create_credential(create_request("new", password))
    request = update_request("new", password, "second2")
    assert await harness.as_("new").update_credential(request) == common.Status()


@pytest.mark.parametrize("password", ["\0" * 6, "secret\0secret", "x" * 99 + "\0"])
async def test_a_new_password_with_nul_is_refused_in_the_reply(harness, password):
    root = harness.as_("root")
    for status in (
        await root.create_credential(create_request("new", password)),
        await root.update_credential(update_request("bob", "bob-first1", password)),
    ):
        assert (status.code, status.error_code) == (1100, common.ErrorCode.IllegalArgument)
        assert "NUL" in status.reason
    assert harness.directory.changes == []


async def test_an_empty_new_password_with_a_description_changes_the_description(harness):
    request = pb.UpdateCredentialRequest(username="bob", description="me")
    assert await harness.as_("bob").update_credential(request) == common.Status()
    assert harness.directory.store.users["bob"].description == "me"


async def test_an_empty_description_is_a_change_and_a_missing_one_is_none(harness):
    root = harness.as_("root")
    await root.update_credential(pb.UpdateCredentialRequest(username="bob", description="me"))
    await root.update_credential(update_request("bob", "", "second2"))
    assert harness.directory.store.users["bob"].description == "me"
    await root.update_credential(pb.UpdateCredentialRequest(username="bob", description=""))
    assert harness.directory.store.users["bob"].description == ""
    status = await root.update_credential(pb.UpdateCredentialRequest(username="bob"))
    assert status.reason == "must update either password or description: invalid parameter"


async def test_a_call_without_a_user_is_refused_where_authorization_is_on(harness):
    """Without this check the caller would count as anonymous, and administer all users."""
    unidentified = harness.as_(None)
    for call in (
        unidentified.create_credential(create_request()),
        unidentified.update_credential(update_request("root", "", "second2")),
        unidentified.delete_credential(pb.DeleteCredentialRequest(username="bob")),
        unidentified.list_cred_users(pb.ListCredUsersRequest()),
        unidentified.select_user(pb.SelectUserRequest()),
        unidentified.select_role(pb.SelectRoleRequest()),
        unidentified.select_grant(pb.SelectGrantRequest()),
    ):
        status, message = await refusal_of(call)
        assert status is Status.PERMISSION_DENIED
        assert message.startswith("the account service is reached")
    users = await harness.as_("root").list_cred_users(pb.ListCredUsersRequest())
    assert set(users.usernames) == {"root", "bob"}


async def test_an_unknown_outcome_is_unavailable_and_says_so(harness):
    async def unknown(*args, **options):
        raise OutcomeUnknownError("the outcome of the change is unknown, it is safe to repeat it")

    harness.directory.delete = unknown
    status, message = await refusal_of(
        harness.as_("root").delete_credential(pb.DeleteCredentialRequest(username="bob"))
    )
    assert status is Status.UNAVAILABLE
    assert "safe to repeat" in message


async def test_users_are_listed_with_root(harness):
    reply = await harness.as_("root").list_cred_users(pb.ListCredUsersRequest())
    assert sorted(reply.usernames) == ["bob", "root"]
    assert reply.status == common.Status()


async def test_users_are_described_without_roles_that_they_were_not_given(harness):
    request = pb.SelectUserRequest(include_role_info=True)
    reply = await harness.as_("root").select_user(request)
    roles = {result.user.name: result.roles for result in reply.results}
    assert roles == {"root": [], "bob": []}


async def test_a_user_that_was_stored_under_other_rules_is_described(harness):
    await harness.directory.add("1.old-user", "first1")

    def asked_for(name):
        return pb.SelectUserRequest(user=pb.UserEntity(name=name))

    root = harness.as_("root")
    reply = await root.select_user(asked_for("1.old-user"))
    assert [result.user.name for result in reply.results] == ["1.old-user"]
    refused = await root.select_user(asked_for("1.new-user"))
    assert (refused.status.code, refused.results) == (1100, [])


async def test_one_user_is_described_by_name(harness):
    def asked_for(name):
        return pb.SelectUserRequest(user=pb.UserEntity(name=name))

    bob = harness.as_("bob")
    assert [result.user.name for result in (await bob.select_user(asked_for("bob"))).results] == [
        "bob"
    ]
    unknown = await harness.as_("root").select_user(asked_for("nobody"))
    assert (unknown.results, unknown.status) == ([], common.Status())
