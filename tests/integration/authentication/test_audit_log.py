import base64
import json

import grpc
import pytest

from tests.integration.authentication.deployment import HEALTH, authorization, running_deployment
from tests.support.audit_schema import violations
from tests.support.credentials import encoded
from tests.support.raw_http2 import message, request_headers
from tests.support.waiting import eventually
from vecguard.generated.milvus.proto import milvus as pb

ROOT = authorization("root", "Milvus")


@pytest.fixture
async def deployment(tmp_path):
    async with running_deployment(tmp_path, {}) as deployment:
        yield deployment


def entries(path):
    lines = path.read_text().splitlines()
    assert [violations(line) for line in lines] == [[]] * len(lines)
    return [json.loads(line) for line in lines]


async def test_every_refused_login_is_counted_with_its_user_address_and_reason(deployment):
    async with deployment.client() as client:
        for _ in range(20):
            await client.health(authorization("root", "wrong1"))
        await client.health(authorization("nobody", "wrong1"))
        await client.health()
        await client.health(b"no base64")
        await client.health(base64.b64encode(b"some key"))
        await client.health(ROOT)
    await deployment.stack.proxies[0].stop()
    assert sum(entry["count"] for entry in entries(deployment.audit_file)) == 24
    counts = {}
    for entry in entries(deployment.audit_file):
        assert entry["event"] == "login_refused"
        assert entry["address"] == "127.0.0.1"
        key = (entry["user"], entry["reason"])
        counts[key] = counts.get(key, 0) + entry["count"]
    assert counts == {
        ("root", "wrong_credentials"): 20,
        ("nobody", "wrong_credentials"): 1,
        (None, "missing_header"): 1,
        (None, "malformed_header"): 1,
        (None, "api_key"): 1,
    }


async def test_every_account_change_is_written_with_what_became_of_it(deployment):
    bob = authorization("bob", "first1")
    async with deployment.client() as client:
        create = pb.CreateCredentialRequest(username="bob", password=encoded("first1"))
        assert (await client.account("CreateCredential", create, ROOT)).code == 0
        await client.account("CreateCredential", create, ROOT)
        await client.account("CreateCredential", create, bob)
        update = pb.UpdateCredentialRequest(
            username="bob", old_password=encoded("wrong1"), new_password=encoded("second2")
        )
        await client.account("UpdateCredential", update, bob)
        update.old_password = encoded("first1")
        assert (await client.account("UpdateCredential", update, bob)).code == 0
        for username in ("bob", "bob", "root"):
            delete = pb.DeleteCredentialRequest(username=username)
            await client.account("DeleteCredential", delete, ROOT)

    async def all_are_written():
        return len(entries(deployment.audit_file)) == 8

    await eventually(all_are_written)
    written = entries(deployment.audit_file)
    assert {entry["address"] for entry in written} == {"127.0.0.1"}
    [refused] = [entry for entry in written if entry["event"] == "call_refused"]
    written.remove(refused)
    assert (refused["user"], refused["method"], refused["privilege"], refused["database"]) == (
        *("bob", "CreateCredential", "CreateOwnership", "*"),
    )
    assert {entry["event"] for entry in written} == {"account_change"}
    assert [
        (entry["actor"], entry["action"], entry["target"], entry["outcome"]) for entry in written
    ] == [
        ("root", "create_user", "bob", "applied"),
        ("root", "create_user", "bob", "user_exists"),
        ("bob", "update_user", "bob", "wrong_old_password"),
        ("bob", "update_user", "bob", "applied"),
        ("root", "delete_user", "bob", "applied"),
        ("root", "delete_user", "bob", "unchanged"),
        ("root", "delete_user", "root", "root_protected"),
    ]
    revisions = [entry["revision"] for entry in written if entry["outcome"] == "applied"]
    assert revisions == sorted(set(revisions))
    assert all(entry["revision"] is None for entry in written if entry["outcome"] != "applied")


async def test_guesses_at_an_old_password_are_limited_as_logins_are_and_counted(tmp_path):
    bob = authorization("bob", "first1")
    limits = {"pairBurst": 3, "pairPerMinute": 1}
    settings = {"authentication": {"loginLimits": limits}}
    async with running_deployment(tmp_path, settings) as deployment:
        async with deployment.client() as client:
            create = pb.CreateCredentialRequest(username="bob", password=encoded("first1"))
            assert (await client.account("CreateCredential", create, ROOT)).code == 0
            assert (await client.health(bob)).status is grpc.StatusCode.OK
            for number in range(3):
                update = pb.UpdateCredentialRequest(
                    username="bob",
                    old_password=encoded(f"wrong{number}"),
                    new_password=encoded("second2"),
                )
                assert (await client.account("UpdateCredential", update, bob)).code == 1400
            for _ in range(2):
                update.old_password = encoded("wrong9")
                answer = await client.account("UpdateCredential", update, bob)
                assert answer.status is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert 0 < int(answer.trailers["grpc-retry-pushback-ms"]) <= 60_000
            # They count for the user who shows them, and the login that is known does not wait.
            wrong = await client.health(authorization("bob", "wrong8"))
            assert wrong.status is grpc.StatusCode.UNAUTHENTICATED
            update.old_password = encoded("first1")
            assert (await client.account("UpdateCredential", update, bob)).code == 0
        await deployment.stack.proxies[0].stop()
        counts = {
            outcome: sum(
                entry["count"]
                for entry in entries(deployment.audit_file)
                if entry.get("outcome") == outcome and entry["action"] == "update_user"
            )
            for outcome in ("wrong_old_password", "login_limited", "applied")
        }
        assert counts == {"wrong_old_password": 3, "login_limited": 2, "applied": 1}


async def test_what_was_counted_is_written_when_the_proxy_stops(tmp_path):
    async with running_deployment(tmp_path, {}) as deployment:
        async with deployment.client() as client:
            for _ in range(20):
                await client.health(authorization("root", "wrong1"))
        await deployment.stack.proxies[0].stop()
        assert [entry["count"] for entry in entries(deployment.audit_file)] == [1, 19]


async def test_a_limited_login_is_told_when_to_come_again_and_others_are_not_concerned(tmp_path):
    limits = {"pairBurst": 3, "pairPerMinute": 1}
    settings = {"authentication": {"loginLimits": limits}}

    async def attempt(peer, password):
        login = (b"authorization", authorization("root", password))
        stream = peer.request(request_headers(HEALTH.encode(), login), message(b""))
        answer, _, trailers = await peer.response(stream)
        return dict(answer) | dict(trailers)

    async with (
        running_deployment(tmp_path, settings) as deployment,
        deployment.peer_from("127.0.0.2") as known,
        deployment.peer_from("127.0.0.3") as attacker,
        deployment.peer_from("127.0.0.4") as newcomer,
    ):
        assert (await attempt(known, "Milvus"))[b"grpc-status"] == b"0"
        for number in range(3):
            answer = await attempt(attacker, f"wrong{number}")
            assert answer[b"grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0]).encode()
        answer = await attempt(attacker, "wrong9")
        assert answer[b"grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]).encode()
        assert 0 < int(answer[b"grpc-retry-pushback-ms"]) <= 60_000
        assert b"try again in" in answer[b"grpc-message"]
        # The login is known at every address.
        assert (await attempt(attacker, "Milvus"))[b"grpc-status"] == b"0"
        assert (await attempt(known, "Milvus"))[b"grpc-status"] == b"0"
        assert (await attempt(newcomer, "Milvus"))[b"grpc-status"] == b"0"
