"""Parts of 0.1.0 beside parts of this version, and a downgrade; docs/upgrade.md says the same."""

import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from pymilvus.grpc_gen import common_pb2 as common
from pymilvus.grpc_gen import milvus_pb2 as milvus
from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub

from deploy.local.ports import Ports
from deploy.local.stack import CHECKOUT, LocalStack, ServiceProcess
from tests.e2e.stacks import CHEAP_PASSWORDS, clean_environment, logs

# The last commit of the version 0.1.0.
RELEASED = "096a3d5"
MODULES = {"vecguard.proxy": "services.proxy", "vecguard.root_coord": "services.root_coord"}
TIMINGS = {"lease": {"ttl": 4, "renewInterval": 1}, "election": {"ttl": 2}}
SECONDS = 20
OLD, NEW = "first password", "second password"
REFUSED = "auth check failure"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the sources of 0.1.0."""
    folder = tmp_path_factory.mktemp("released")
    archive = subprocess.run(
        ["git", "archive", RELEASED, "services", "shared"],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip("this checkout has no history, so no sources of 0.1.0")
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


class MixedStack:
    """Two proxies, `new` and `old`, and a root coord of either version."""

    def __init__(self, stack: LocalStack, released: Path) -> None:
        self.stack = stack
        self._released = released
        self._this = stack.root_coord.program
        self.new, self.old = stack.proxies
        self._make_old(self.old)

    async def use_root_coord(self, *, old: bool) -> None:
        """Replaces root coord, and waits until both proxies have a session with it."""
        root_coord = self.stack.root_coord
        await root_coord.stop()
        root_coord.program = self._this
        if old:
            self._make_old(root_coord)
        await root_coord.start()
        for each in (root_coord, self.new, self.old):
            await each.wait_ready()

    def _make_old(self, process: ServiceProcess) -> None:
        python, dash_m, module, *rest = process.program.argv
        assert python == sys.executable
        argv = (python, dash_m, MODULES[module], *rest)
        process.program = replace(process.program, argv=argv, directory=self._released)


@asynccontextmanager
async def mixed_stack(folder: Path, released: Path) -> AsyncIterator[MixedStack]:
    stack = LocalStack(
        folder,
        ports=Ports.free(proxies=2, root_coords=1),
        settings_overrides=CHEAP_PASSWORDS | TIMINGS,
        environment=clean_environment(),
    )
    mixed = MixedStack(stack, released)
    try:
        async with stack:
            yield mixed
    except BaseException as error:
        error.add_note("\n".join(f"--- log of {name}\n{log}" for name, log in logs(stack)))
        raise


class Client:
    """Calls a proxy as one user, with a connection of its own for each call."""

    def __init__(self, proxy: ServiceProcess, user: str = "root", password: str = "Milvus") -> None:
        self._address = proxy.address
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._metadata = [("authorization", token)]

    async def call(self, method: str, request: Message) -> str:
        """Returns "" for success, otherwise the error's text, of the call or of the reply."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = getattr(MilvusServiceStub(channel), method)
            try:
                reply = await stub(request, metadata=self._metadata, timeout=SECONDS)
            except grpc.aio.AioRpcError as error:
                return error.details()
        return (reply if isinstance(reply, common.Status) else reply.status).reason

    async def list(self) -> str:
        return await self.call("ShowCollections", milvus.ShowCollectionsRequest())

    async def create_user(self, name: str, password: str) -> str:
        request = milvus.CreateCredentialRequest(username=name, password=encoded(password))
        return await self.call("CreateCredential", request)

    async def change_password(self, name: str, old: str, new: str) -> str:
        request = milvus.UpdateCredentialRequest(
            username=name, oldPassword=encoded(old), newPassword=encoded(new)
        )
        return await self.call("UpdateCredential", request)


def encoded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()


async def set_up_alice(root: Client) -> None:
    """Creates a user who may list collections."""
    grant = milvus.OperatePrivilegeV2Request(
        role=milvus.RoleEntity(name="readers"),
        grantor=milvus.GrantorEntity(privilege=milvus.PrivilegeEntity(name="ShowCollections")),
        type=milvus.OperatePrivilegeType.Grant,
        db_name="*",
        collection_name="*",
    )
    give = milvus.OperateUserRoleRequest(username="alice", role_name="readers")
    role = milvus.CreateRoleRequest(entity=milvus.RoleEntity(name="readers"))
    assert await root.create_user("alice", OLD) == ""
    assert await root.call("CreateRole", role) == ""
    assert await root.call("OperatePrivilegeV2", grant) == ""
    assert await root.call("OperateUserRole", give) == ""


async def test_an_older_proxy_with_a_newer_root_coord(tmp_path: Path, released: Path):
    async with mixed_stack(tmp_path, released) as mixed:
        await set_up_alice(Client(mixed.new))
        for proxy in (mixed.new, mixed.old):
            assert await Client(proxy, "alice", OLD).list() == ""

        assert await Client(mixed.new, "alice", OLD).change_password("alice", OLD, NEW) == ""
        # Revoked at the older proxy, too, at once.
        for proxy in (mixed.old, mixed.new):
            assert REFUSED in await Client(proxy, "alice", OLD).list()
            assert await Client(proxy, "alice", NEW).list() == ""

        # Users can be changed through the older proxy, too.
        assert await Client(mixed.old).create_user("bob", NEW) == ""
        for proxy in (mixed.old, mixed.new):
            assert await Client(proxy, "bob", NEW).list() == ""


async def test_an_older_root_coord_and_the_way_back(tmp_path: Path, released: Path):
    async with mixed_stack(tmp_path, released) as mixed:
        await set_up_alice(Client(mixed.new))

        await mixed.use_root_coord(old=True)
        assert await Client(mixed.new).list() == ""
        assert "is older than this proxy" in await Client(mixed.new).create_user("bob", NEW)
        # Roles cannot be read, so users other than root are refused.
        assert await Client(mixed.new, "alice", OLD).list() != ""
        # A downgrade of all parts: logins hold, and users can be changed.
        assert await Client(mixed.old, "alice", OLD).list() == ""
        assert await Client(mixed.old, "alice", OLD).change_password("alice", OLD, NEW) == ""

        await mixed.use_root_coord(old=False)
        assert REFUSED in await Client(mixed.new, "alice", OLD).list()
        # Roles and grants have survived, and count again.
        assert await Client(mixed.new, "alice", NEW).list() == ""
