import asyncio
import gzip
import json

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.integration.root_coord.harness import USER_LIMIT, running_proxy
from tests.support.credentials import hashed
from tests.support.logs import every_log_line, written_log
from tests.support.raw_http2 import message, raw_client, request_headers
from vecguard.errors import OutcomeUnknownError, VecguardError
from vecguard.etcd import Put
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.credentials import hash_from_wire, hash_to_wire
from vecguard.passwords import hash_password
from vecguard.proxy.accounts.errors import OutdatedRootCoordError
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.root_coord.credentials import ensure_root
from vecguard.root_record import RootState
from vecguard.secret import Secret

FIRST, SECOND = hashed("first1"), hashed("second2")
Outcome = pb.MutationOutcome


async def refusal_of(call):
    with pytest.raises(GRPCError) as refusal:
        await call
    return refusal.value.status


async def test_a_created_user_is_read_with_hash_revision_and_term(harness):
    created = await harness.create("bob", FIRST, "a friend")
    assert created.outcome is Outcome.APPLIED
    reply = await harness.get("bob")
    assert reply.term == harness.term
    assert reply.read_revision >= created.revision
    assert reply.credential == pb.Credential(
        username="bob",
        password=hash_to_wire(FIRST),
        revision=created.revision,
        description="a friend",
    )


async def test_a_long_password_keeps_its_scheme_over_the_wire_and_in_etcd(harness):
    password = hash_password(Secret("x" * 100), 4)
    await harness.create("bob", password)
    assert (await harness.get("bob")).credential.password == hash_to_wire(password)


async def test_an_unknown_user_is_a_reply_with_nobodys_credential(harness):
    """As long as the answer about a user, and with a hash that can be read like any other."""
    await harness.create("bob", FIRST)
    reply, other = await harness.get("nobody"), await harness.get("bob")
    assert reply.read_revision > 0
    assert (reply.credential.username, reply.credential.revision) == ("", 0)
    hash_from_wire(reply.credential.password)
    assert len(bytes(other)) - len(bytes(reply)) < 10


@pytest.mark.parametrize("value", [b"not JSON", b"[]", b"{}", b'{"encrypted_password":"x"}'])
async def test_a_corrupt_record_is_like_no_user_and_can_be_reset(harness, value):
    await harness.create("eve", FIRST)
    await harness.client.txn([], [Put(harness.keys.user("bob").encode(), value)])
    assert (await harness.get("bob")).credential.username == ""
    assert (await harness.get("eve")).credential.username == "eve"
    listed = await harness.stub.list_users(pb.ListUsersRequest())
    assert [user.username for user in listed.users] == ["bob", "eve"]
    assert (await harness.update("bob", SECOND)).outcome is Outcome.APPLIED
    assert (await harness.get("bob")).credential.password == hash_to_wire(SECOND)


async def test_users_are_listed_in_order_and_without_hashes(harness):
    for username in ("zoe", "bob", "root"):
        await harness.create(username, FIRST)
    reply = await harness.stub.list_users(pb.ListUsersRequest())
    assert [user.username for user in reply.users] == ["bob", "root", "zoe"]
    assert all(user.password == pb.PasswordHash() for user in reply.users)


async def test_of_two_creations_of_one_name_exactly_one_succeeds(harness):
    replies = await asyncio.gather(harness.create("bob", FIRST), harness.create("bob", SECOND))
    assert sorted(reply.outcome for reply in replies) == [Outcome.APPLIED, Outcome.USER_EXISTS]


async def test_of_two_changes_from_one_revision_exactly_one_succeeds(harness):
    created = await harness.create("bob", FIRST)
    replies = await asyncio.gather(
        harness.update("bob", SECOND, expected_revision=created.revision),
        harness.update("bob", hashed("third3"), expected_revision=created.revision),
    )
    assert sorted(reply.outcome for reply in replies) == [
        Outcome.APPLIED,
        Outcome.REVISION_CHANGED,
    ]


async def test_concurrent_creations_fill_the_user_limit_exactly(harness):
    replies = await asyncio.gather(
        *(harness.create(f"user{number}", FIRST) for number in range(USER_LIMIT + 8))
    )
    outcomes = [reply.outcome for reply in replies]
    assert outcomes.count(Outcome.APPLIED) == USER_LIMIT
    assert outcomes.count(Outcome.USER_LIMIT_REACHED) == 8


async def test_a_deletion_is_idempotent(harness):
    await harness.create("bob", FIRST)
    request = pb.DeleteCredentialRequest(actor=pb.Actor(anonymous=True), username="bob")
    assert (await harness.stub.delete_credential(request)).outcome is Outcome.APPLIED
    assert (await harness.stub.delete_credential(request)).outcome is Outcome.USER_NOT_FOUND


@pytest.mark.parametrize("username", ["x" * 30_000, "no/body", ""])
async def test_a_name_that_no_store_holds_is_nobodys_and_leaves_no_line(harness, username):
    with written_log() as log:
        deleted = await harness.stub.delete_credential(
            pb.DeleteCredentialRequest(actor=pb.Actor(anonymous=True), username=username)
        )
        assert deleted.outcome is Outcome.USER_NOT_FOUND
        assert (await harness.update(username, SECOND)).outcome is Outcome.USER_NOT_FOUND
    assert log.getvalue() == ""


async def test_the_outcome_of_a_change_is_unknown_after_a_bug(harness, monkeypatch):
    await harness.create("bob", FIRST)

    async def invalidate(_invalidation):
        raise KeyError

    async with running_proxy(harness.address) as proxy:
        with monkeypatch.context() as patched:
            patched.setattr(harness.hub, "invalidate", invalidate)  # after the write to etcd
            with pytest.raises(OutcomeUnknownError, match="safe to repeat"):
                await proxy.root_coord.delete("bob", asked_by=ANONYMOUS)
        assert (await harness.get("bob")).credential.username == ""
        assert (
            await proxy.root_coord.delete("bob", asked_by=ANONYMOUS)
        ).outcome is Outcome.USER_NOT_FOUND


async def test_a_compressed_message_is_refused_with_the_encoding_that_is_accepted(harness):
    path = b"/vecguard.internal.v1.RootCoord/ListUsers"
    headers = request_headers(path, (b"grpc-encoding", b"gzip"))
    async with raw_client(harness.address.port) as client:
        bomb = message(gzip.compress(b"\x78\x00" * 400_000), flag=1)
        begun, _, _ = await client.response(client.request(headers, bomb))
        assert dict(begun)[b"grpc-status"] == str(Status.UNIMPLEMENTED.value).encode()
        assert dict(begun)[b"grpc-accept-encoding"] == b"identity"
        many = message(b"\x78\x00" * 2000)
        begun, _, _ = await client.response(client.request(request_headers(path), many))
        assert dict(begun)[b"grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value).encode()


async def test_a_rehash_is_made_at_its_revision_only(harness):
    created = await harness.create("bob", FIRST)
    request = pb.RehashCredentialRequest(
        username="bob",
        expected_revision=created.revision,
        password=hash_to_wire(hashed("first1", 5)),
    )
    first = await harness.stub.rehash_credential(request)
    assert first.outcome is Outcome.APPLIED
    assert (await harness.get("bob")).credential.revision == first.revision
    request.password = hash_to_wire(SECOND)
    assert (await harness.stub.rehash_credential(request)).outcome is Outcome.REVISION_CHANGED


async def test_a_description_is_changed_and_emptied_alone(harness):
    await harness.create("bob", FIRST, "old")

    async def described(text):
        await harness.stub.update_credential(
            pb.UpdateCredentialRequest(
                actor=pb.Actor(anonymous=True), username="bob", description=text
            )
        )
        credential = (await harness.get("bob")).credential
        assert credential.password == hash_to_wire(FIRST)
        return credential.description

    assert await described("new") == "new"
    assert await described("") == ""


@pytest.mark.parametrize(
    "request_",
    [
        pb.UpdateCredentialRequest(actor=pb.Actor(anonymous=True), username="bob"),
        pb.UpdateCredentialRequest(
            actor=pb.Actor(anonymous=True),
            username="bob",
            password=pb.PasswordHash(encrypted_password="Milvus"),
        ),
    ],
)
async def test_an_update_without_anything_usable_is_refused(harness, request_):
    await harness.create("bob", FIRST)
    assert await refusal_of(harness.stub.update_credential(request_)) is Status.INVALID_ARGUMENT
    assert (await harness.get("bob")).credential.password == hash_to_wire(FIRST)


@pytest.mark.parametrize("encrypted", ["", "Milvus", "$2a$10$short", "$2a$99$" + "a" * 53])
async def test_what_is_no_hash_is_never_stored(harness, encrypted):
    password = pb.PasswordHash(encrypted_password=encrypted)
    for call in (
        harness.stub.create_credential(
            pb.CreateCredentialRequest(
                actor=pb.Actor(anonymous=True), username="bob", password=password
            )
        ),
        harness.stub.rehash_credential(
            pb.RehashCredentialRequest(username="bob", password=password)
        ),
    ):
        assert await refusal_of(call) is Status.INVALID_ARGUMENT
    assert (await harness.store.list_all()).value == ()


@pytest.mark.parametrize("username", ["", "a/b", "a:b", "é", "../x"])
async def test_a_name_that_would_break_the_key_is_never_stored(harness, username):
    assert await refusal_of(harness.create(username, FIRST)) is Status.INVALID_ARGUMENT


async def test_root_is_never_deleted(harness):
    await harness.create("root", FIRST)
    call = harness.stub.delete_credential(
        pb.DeleteCredentialRequest(actor=pb.Actor(anonymous=True), username="root")
    )
    assert await refusal_of(call) is Status.INVALID_ARGUMENT
    assert (await harness.get("root")).credential.username == "root"


async def test_revisions_that_changed_or_are_gone_are_stale(harness):
    revisions = {name: (await harness.create(name, FIRST)).revision for name in ("a", "b", "c")}
    changed = await harness.update("b", SECOND)
    await harness.stub.delete_credential(
        pb.DeleteCredentialRequest(actor=pb.Actor(anonymous=True), username="c")
    )
    held = [pb.UserRevision(username=name, revision=rev) for name, rev in revisions.items()]
    held += [
        pb.UserRevision(username="a", revision=revisions["b"]),
        pb.UserRevision(username="nobody", revision=0),
        pb.UserRevision(username="never", revision=7),
        pb.UserRevision(username="b", revision=0),
    ]
    reply = await harness.stub.sync_revisions(pb.SyncRevisionsRequest(held=held))
    assert reply.stale == ["b", "c", "a", "never", "b"]
    assert reply.term == harness.term
    assert reply.read_revision > changed.revision


async def test_root_is_created_once_however_many_start_and_never_overwritten(harness):
    async def milvus():
        return hash_password(Secret("Milvus"), 4)

    created = await asyncio.gather(*(ensure_root(harness.store, milvus) for _ in range(4)))
    assert created.count(RootState.NEW) == 1
    before = await harness.get("root")

    async def other():
        return hash_password(Secret("other-password"), 4)

    assert await ensure_root(harness.store, other) is RootState.FOUND
    assert (await harness.get("root")).credential == before.credential


async def test_what_milvus_left_in_etcd_is_served(harness):
    value = json.dumps({"encrypted_password": FIRST.encrypted.reveal(), "sha256_password": "x"})
    await harness.client.txn([], [Put(harness.keys.user("old-1.x").encode(), value.encode())])
    assert (await harness.get("old-1.x")).credential.password == hash_to_wire(FIRST)


@pytest.mark.parametrize("actor", [pb.Actor(), pb.Actor(revision=7)])
async def test_a_change_that_names_no_actor_is_refused_and_says_what_to_upgrade(harness, actor):
    """As a proxy of an earlier version sends it. The log says so once, for all of them."""
    await harness.create("bob", FIRST)
    password = hash_to_wire(SECOND)
    with every_log_line() as lines:
        for call in (
            harness.stub.create_credential(
                pb.CreateCredentialRequest(actor=actor, username="eve", password=password)
            ),
            harness.stub.update_credential(
                pb.UpdateCredentialRequest(actor=actor, username="bob", password=password)
            ),
            harness.stub.delete_credential(pb.DeleteCredentialRequest(actor=actor, username="bob")),
        ):
            with pytest.raises(GRPCError, match="upgrade the proxy") as refused:
                await call
            assert refused.value.status is Status.FAILED_PRECONDITION
    (line,) = [line for line in lines if line["event"] == "change_without_actor"]
    assert "upgrade the proxy" in line["error"]
    assert line["peer"].startswith("127.0.0.1:")
    assert (await harness.get("bob")).credential.password == hash_to_wire(FIRST)
    assert [user.username for user in (await harness.store.list_all()).value] == ["bob"]


@pytest.mark.parametrize("judges_actors", [False, True])
async def test_a_proxy_asks_an_older_root_coord_for_no_change_and_no_roles(
    harness, monkeypatch, judges_actors
):
    """As root coords of earlier versions open a session."""

    def opened(*, term, ttl_seconds, renew_interval_seconds):
        del renew_interval_seconds
        return bytes(
            pb.SessionReply(
                opened=pb.Opened(
                    term=term,
                    lease_ttl_ms=int(ttl_seconds * 1000),
                    renew_interval_ms=100,
                    judges_actors=judges_actors,
                )
            )
        )

    monkeypatch.setattr("vecguard.root_coord.session_hub.encode_opened", opened)
    created = await harness.create("bob", FIRST)
    with every_log_line() as lines:
        async with running_proxy(harness.address) as proxy:
            assert await proxy.login("bob", "first1") == created.revision
            assert proxy.root_coord.is_outdated
            for _ in range(2):
                with pytest.raises(OutdatedRootCoordError, match="upgrade root coord"):
                    await proxy.root_coord.delete(
                        "bob", asked_by=Principal("bob", created.revision)
                    )
            with pytest.raises(OutdatedRootCoordError, match="upgrade root coord"):
                await proxy.roles.get(("reader",))
    (line,) = [line for line in lines if line["event"] == "root_coord_outdated"]
    assert line["log_level"] == "warning"
    assert "upgrade root coord" in line["error"]
    assert (await harness.get("bob")).credential.username == "bob"


async def test_a_caller_that_lost_its_name_is_not_taken_for_an_anonymous_one(harness):
    await harness.create("bob", FIRST)
    async with running_proxy(harness.address) as proxy:
        with pytest.raises(VecguardError, match="does not name the user"):
            await proxy.root_coord.delete("bob", asked_by=Principal("", 7))
    assert (await harness.get("bob")).credential.username == "bob"


async def test_the_actor_travels_with_each_change(harness):
    admin = await harness.create("admin", FIRST)
    await harness.create("bob", FIRST)
    async with running_proxy(harness.address) as proxy:
        now = Principal("admin", admin.revision)
        assert (
            await proxy.root_coord.create("eve", FIRST, "", asked_by=now)
        ).outcome is Outcome.APPLIED
        await harness.update("admin", SECOND)
        for reply in (
            await proxy.root_coord.create("new", FIRST, "", asked_by=now),
            await proxy.root_coord.update(
                "bob", expected_revision=None, password=SECOND, description=None, asked_by=now
            ),
            await proxy.root_coord.delete("eve", asked_by=now),
        ):
            assert reply == pb.MutationReply(outcome=Outcome.ACTOR_REVOKED)
        users = [user.username for user in await proxy.root_coord.list_users()]
        assert users == ["admin", "bob", "eve"]
