"""Marker passwords go everywhere, every error path is taken, and all output is searched."""

import asyncio
import base64
import json
import re
from itertools import count

import grpc
import grpc.aio
import pytest

from tests.integration.authentication.deployment import (
    Deployment,
    authorization,
    running_deployment,
)
from tests.support.audit_schema import violations
from tests.support.credentials import encoded
from tests.support.waiting import eventually
from vecguard.etcd import EtcdClient, Put
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.generated.vecguard.internal import v1 as internal

_FIRST = "Mk0RootFirst"
_INTERNAL = "/vecguard.internal.v1.RootCoord/"


class Markers:
    """Passwords that appear nowhere else, and all forms in which they could be found."""

    def __init__(self):
        self._numbers = count(1)
        self.planted = [_FIRST]

    def __call__(self, length=12):
        marker = f"Mk{next(self._numbers)}q".ljust(length, "Z")
        self.planted.append(marker)
        return marker

    def found_in(self, text):
        forms = set()
        for marker in self.planted:
            forms |= {marker, repr(marker)[1:-1], marker.encode().hex()}
            # Base64 of a text that has the marker at any of the three alignments.
            for shift in range(3):
                inner = base64.b64encode(b"\0" * shift + marker.encode()).decode()
                forms.add(inner[4 if shift else 0 : -4])
        return sorted(form for form in forms if len(form) > 3 and form in text)


async def wrong_logins(client, marker):
    """Every way in which a login can be refused."""
    await client.health(authorization("root", marker()))
    await client.health(authorization("nobody", marker()))
    await client.health(authorization("no such/name", marker()))
    await client.health(authorization("", marker()))
    await client.health(authorization("root", marker(73)))
    await client.health(authorization("root", marker(2000)))
    await client.health(f"root:{marker()}".encode())
    await client.health(f"Basic {encoded(marker())}".encode())
    await client.health(base64.b64encode(marker().encode()))
    await client.health(base64.b64encode(b"\xff\xfe" + marker().encode()))
    await client.health(base64.b64encode(marker().encode())[:-1])
    await client.health(authorization("root", marker()), authorization("root", marker()))
    await client.health(authorization("root", marker()), timeout=0.001)
    await client.call("/no.such.Service/Method", b"", authorization("root", _FIRST))
    for _ in range(30):
        await client.health(authorization("eve", marker()))


async def account_errors(client, marker, root):
    """Every way in which an account call can fail, and a few in which it does not."""

    async def create(username, password, *values):
        request = pb.CreateCredentialRequest(username=username, password=password)
        return await client.account("CreateCredential", request, *(values or (root,)))

    async def update(username, old, new, *values):
        request = pb.UpdateCredentialRequest(username=username, old_password=old, new_password=new)
        return await client.account("UpdateCredential", request, *(values or (root,)))

    right, second = marker(), marker()
    assert (await create("bob", encoded(right))).code == 0
    bob = authorization("bob", right)
    assert (await client.health(bob)).status is grpc.StatusCode.OK
    await create("bob", encoded(marker()))
    await create("bob", encoded(marker()), bob)
    await create("1bad", encoded(marker()))
    await create("carol", encoded(marker(300)))
    await create("carol", encoded("Mk"))
    await create("carol", marker() + "!")
    await create("carol", base64.b64encode(b"\xff" + marker().encode()).decode())
    await create("carol", encoded(marker()), authorization("root", marker()))
    await update("bob", encoded(marker()), encoded(marker()), bob)
    await update("bob", marker() + "!", encoded(marker()), bob)
    await update("bob", encoded(right), marker() + "!", bob)
    await update("nobody", encoded(marker()), encoded(marker()))
    await update("root", encoded(marker()), encoded(marker()))
    assert (await update("bob", encoded(right), encoded(second), bob)).code == 0
    await client.health(bob)
    await client.account("CreateCredential", b"\x1a\xff" + marker().encode(), root)
    await client.account("CreateCredential", b"\x1a\x05\xff\xfe" + marker().encode(), root)
    await client.account("OperatePrivilege", marker().encode(), root)


async def root_coord_errors(deployment, marker):
    """Calls root coord as a program that is no proxy of ours."""
    broken = internal.PasswordHash(encrypted_password=marker())
    requests = (
        ("CreateCredential", bytes(internal.CreateCredentialRequest("dave", broken))),
        ("UpdateCredential", bytes(internal.UpdateCredentialRequest("bob", 1, broken))),
        ("RehashCredential", bytes(internal.RehashCredentialRequest("bob", 1, broken))),
        ("GetCredential", b"\x0a\xff" + marker().encode()),
        ("CreateCredential", b"\xff" + marker().encode()),
        ("Session", marker().encode()),
        ("NoSuchMethod", marker().encode()),
    )
    async with grpc.aio.insecure_channel(deployment.stack.root_coord.address) as channel:
        for name, body in requests:
            try:
                reply = await channel.unary_unary(_INTERNAL + name)(
                    body, metadata=(("authorization", marker()),), timeout=10
                )
            except grpc.aio.AioRpcError as error:
                reply = f"{error.details()} {error.trailing_metadata()}"
            deployment.lines.append(("answer", str(reply)))


async def raw_garbage(address, marker):
    """What is no HTTP/2 at all."""
    host, _, port = address.rpartition(":")
    for text in (
        f"GET / HTTP/1.1\r\nAuthorization: Basic {encoded(marker())}\r\n\r\n",
        f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{marker()}",
        marker(),
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(text.encode())
        writer.write_eof()
        async with asyncio.timeout(20):
            await reader.read()
        writer.close()
        await writer.wait_closed()


async def corrupt_record(client, store, marker):
    """An unreadable record is still a user's secret."""
    found = await store.range(b"", prefix=True)
    key = next(each.key for each in found.kvs if each.key.endswith(b"/bob"))
    hashes = (f"$2a$04${marker()}", marker())
    for value in (json.dumps({"username": "bob", "encrypted_password": hashes[0]}), hashes[1]):
        await store.txn([], [Put(key, value.encode())])
        await client.health(authorization("bob", marker()))
    return key


async def losses(deployment: Deployment, client, marker, root):
    """Root coord goes away in the middle of things."""
    await deployment.stack.etcd.stop()
    request = pb.CreateCredentialRequest(username="frank", password=encoded(marker()))
    try:
        async with asyncio.timeout(30):
            await client.account("CreateCredential", request, root)
    except TimeoutError:
        pass
    await deployment.stack.root_coord.stop()
    await client.health(authorization("grace", marker()))
    await client.account("CreateCredential", request, root)


@pytest.mark.timeout(240)
async def test_no_secret_is_in_anything_that_comes_out(tmp_path):
    marker = Markers()
    settings = {
        "log": {"level": "debug", "format": "json"},
        "common": {"security": {"defaultRootPassword": _FIRST}},
        "authentication": {"bcryptCost": 5},
        "lease": {"grace": 0.1},
    }
    root = authorization("root", _FIRST)
    pages = []
    async with running_deployment(tmp_path, settings) as deployment, deployment.client() as client:

        async def look_around():
            pages.extend(
                [await deployment.page(path) for path in ("/", "/healthz", "/metrics", "/livez")]
            )

        assert (await client.health(root)).status is grpc.StatusCode.OK
        await wrong_logins(client, marker)
        await account_errors(client, marker, root)
        await raw_garbage(deployment.address, marker)
        await root_coord_errors(deployment, marker)
        await raw_garbage(deployment.stack.root_coord.address, marker)
        await look_around()
        async with EtcdClient([f"127.0.0.1:{deployment.stack.ports.etcd}"]) as store:
            await corrupt_record(client, store, marker)
            stored = await store.range(b"", prefix=True)
        await losses(deployment, client, marker, root)
        await look_around()
        await deployment.stack.stop()

        async def the_output_is_complete():
            return not any(process.running for process in deployment.stack.processes)

        await eventually(the_output_is_complete)

    audit = deployment.audit_file.read_text()
    log = "\n".join(line for _, line in deployment.lines)
    outputs = {
        "log": log,
        "audit": audit,
        "metrics and health": "\n".join(pages),
        "answers": "\n".join(answer.everything for answer in deployment.answers),
        "keys in etcd": "\n".join(each.key.decode() for each in stored.kvs),
        "values in etcd": "\n".join(
            each.value.decode() for each in stored.kvs if not each.key.endswith(b"/bob")
        ),
    }
    found = {name: marker.found_in(text) for name, text in outputs.items()}
    assert found == {name: [] for name in outputs}
    outside_etcd = "\n".join(text for name, text in outputs.items() if "values" not in name)
    # Root coord's answer about an unknown user looks like an answer about a user.
    outside_etcd = outside_etcd.replace(f"$2b$10${'.' * 53}", "")
    assert re.findall(r"\$2[aby]\$\d\d\$", outside_etcd) == []
    # It was searched where there is something to find.
    assert '"level": "debug"' in log
    assert "login_refused" in audit
    assert "account_change" in audit
    assert [violations(line) for line in audit.splitlines() if violations(line)] == []
    assert len(deployment.answers) > 60


def test_the_search_finds_what_is_hidden():
    marker = Markers()
    secret = marker()
    for text in (
        f"password={secret}",
        authorization("some-user", secret).decode(),
        authorization("a", secret).decode(),
        encoded(secret),
        repr(secret.encode()),
        secret.encode().hex(),
    ):
        assert marker.found_in(f"... {text} ..."), text
