"""Grants go with a collection that is dropped or renamed, whichever process dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc import StatusCode
from pymilvus import MilvusClient, MilvusException
from pymilvus.grpc_gen import milvus_pb2 as milvus
from pymilvus.grpc_gen import milvus_pb2_grpc

from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.stack import LocalStack, ProxyProcess
from tests.e2e.stacks import running_stack
from tests.support.credentials import header_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICE = "/milvus.proto.milvus.MilvusService/"
READER, PASSWORD = "reader_user", "reader-secret"


@dataclass
class HoldingBackend:
    """Passes calls on to Milvus Lite, and holds back the answers of one method.

    Attributes:
        address: where proxies reach it.
        method: the method; "" holds nothing.
        done: Milvus Lite has answered such a call.
        release: the answer goes on.
    """

    address: str
    method: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, method: str) -> None:
        self.method = method
        self.done.clear()
        self.release.clear()


class _Forwarding(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.aio.Channel, backend: HoldingBackend) -> None:
        self._channel = channel
        self._backend = backend

    def service(self, details):
        call = self._channel.unary_unary(details.method)

        async def forward(request, context):
            metadata = [
                (key, value) for key, value in details.invocation_metadata if key == "dbname"
            ]
            try:
                reply = await call(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details())
            if details.method == SERVICE + self._backend.method:
                self._backend.done.set()
                await self._backend.release.wait()
            return reply

        return grpc.unary_unary_rpc_method_handler(forward)


@asynccontextmanager
async def holding_stack(tmp_path: Path) -> AsyncIterator[tuple[LocalStack, HoldingBackend]]:
    (port,) = free_ports(1)
    backend = HoldingBackend(f"{LOOPBACK}:{port}")
    settings = {"backend": {"address": backend.address}}
    server = grpc.aio.server()
    server.add_insecure_port(backend.address)
    async with (
        running_stack(tmp_path, proxies=2, settings=settings) as stack,
        grpc.aio.insecure_channel(stack.backend_address) as channel,
    ):
        server.add_generic_rpc_handlers([_Forwarding(channel, backend)])
        try:
            # Not a part of the stack, whose settings name another backend.
            await stack.backend.start()
            await stack.backend.wait_ready()
            await server.start()
            yield stack, backend
        finally:
            backend.release.set()
            await server.stop(None)
            await stack.backend.stop()


class People:
    """root and a reader, through one proxy."""

    def __init__(self, uri: str, root: MilvusClient) -> None:
        self.uri = uri
        self.root = root

    @classmethod
    async def through(cls, proxy: ProxyProcess) -> "People":
        uri = f"http://{proxy.address}"
        # In a thread: this one serves the backend.
        client = await asyncio.to_thread(MilvusClient, uri, user="root", password="Milvus")
        return cls(uri, client)

    async def create(self, name: str) -> None:
        def create() -> None:
            self.root.create_collection(name, dimension=2)
            self.root.insert(name, [{"id": 1, "vector": [0.0, 1.0]}])

        await asyncio.to_thread(create)

    async def prepare(self) -> None:
        """Makes the collection and a reader of it."""
        await self.create("books")

        def prepare() -> None:
            self.root.create_user(READER, PASSWORD)
            self.root.create_role("reader")
            self.root.grant_role(READER, "reader")

        await asyncio.to_thread(prepare)
        await self.grant("books")
        assert await self.may_search("books")

    async def grant(self, name: str) -> None:
        await asyncio.to_thread(self.root.grant_privilege, "reader", "Collection", "Search", name)

    async def can_grant(self, name: str) -> bool:
        """Grants, unless the collection is being dropped or renamed."""
        try:
            await self.grant(name)
        except MilvusException as error:
            if "being dropped or renamed" not in str(error):
                raise
            return False
        return True

    async def may_search(self, name: str) -> bool:
        def search() -> bool:
            client = MilvusClient(self.uri, user=READER, password=PASSWORD)
            try:
                client.search(name, [[0.0, 1.0]], limit=1)
            except grpc.RpcError as error:
                if "permission deny" not in str(error):
                    raise
                return False
            else:
                return True
            finally:
                client.close()

        return await asyncio.to_thread(search)


async def call(proxy: ProxyProcess, method: str, request, login=("root", "Milvus")):
    """Calls as root or another user, once."""
    async with grpc.aio.insecure_channel(proxy.address) as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        metadata = [("authorization", header_of(*login))]
        return await getattr(stub, method)(request, metadata=metadata, timeout=60)


async def drop(proxy: ProxyProcess):
    return await call(
        proxy, "DropCollection", milvus.DropCollectionRequest(collection_name="books")
    )


@pytest.mark.parametrize("dropped_again", [True, False])
async def test_a_new_collection_inherits_nothing_when_the_proxy_dies(
    tmp_path: Path, *, dropped_again: bool
):
    async with holding_stack(tmp_path) as (stack, backend):
        dying, other = stack.proxies
        people = await People.through(other)
        await people.prepare()
        backend.hold("DropCollection")
        dropping = asyncio.create_task(drop(dying))
        await backend.done.wait()
        dying.kill()
        await dying.wait()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await dropping
        assert refused.value.code() is StatusCode.UNAVAILABLE

        if dropped_again:
            assert (await drop(other)).code == 0
        await people.create("books")
        assert not await people.may_search("books")
        if dropped_again:
            await people.grant("books")
            assert await people.may_search("books")
        else:
            assert not await people.can_grant("books")


async def test_a_new_collection_inherits_nothing_when_root_coord_dies(tmp_path: Path):
    async with holding_stack(tmp_path) as (stack, backend):
        proxy = stack.proxies[0]
        people = await People.through(proxy)
        await people.prepare()
        backend.hold("DropCollection")
        dropping = asyncio.create_task(drop(proxy))
        await backend.done.wait()
        stack.root_coord.kill()
        await stack.root_coord.wait()
        backend.release.set()
        await stack.root_coord.restart()
        assert (await dropping).code == 0
        await people.create("books")
        assert not await people.may_search("books")
        # If it took root coord long to come back, the change is ended a moment later.
        await eventually(partial(people.can_grant, "books"), timeout_seconds=60)
        assert await people.may_search("books")


async def test_grants_follow_a_renamed_collection(tmp_path: Path):
    async with holding_stack(tmp_path) as (stack, _):
        people = await People.through(stack.proxies[0])
        await people.prepare()
        request = milvus.RenameCollectionRequest(oldName="books", newName="tomes")
        assert (await call(stack.proxies[1], "RenameCollection", request)).code == 0
        await people.create("books")
        await asyncio.to_thread(people.root.load_collection, "tomes")
        assert await people.may_search("tomes")
        assert not await people.may_search("books")

        # A user may drop what the user's only grants are on, and gets the answer.
        granted = ("reader", "DropCollection", "tomes", "default")
        await asyncio.to_thread(people.root.grant_privilege_v2, *granted)
        request = milvus.DropCollectionRequest(collection_name="tomes")
        reader = (READER, PASSWORD)
        assert (await call(stack.proxies[0], "DropCollection", request, reader)).code == 0
        await people.create("tomes")
        assert not await people.may_search("tomes")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(stack.proxies[0], "DropCollection", request, reader)
        assert refused.value.code() is StatusCode.PERMISSION_DENIED


async def test_a_database_that_does_not_exist_leaves_no_change_behind(tmp_path: Path):
    async with holding_stack(tmp_path) as (stack, _):
        proxy = stack.proxies[0]
        people = await People.through(proxy)
        await people.prepare()
        # Milvus Lite answers so, and the proxy passes it on.
        request = milvus.DropCollectionRequest(db_name="missing", collection_name="books")
        assert "does not exist" in (await call(proxy, "DropCollection", request)).reason
        # It ignores the other database of a rename.
        request = milvus.RenameCollectionRequest(
            oldName="books", newName="tomes", newDBName="missing"
        )
        assert (await call(proxy, "RenameCollection", request)).code == 0
        await people.create("books")
        assert not await people.may_search("books")
        assert await people.can_grant("books")
        # An alias is refused, also where the backend would take it.
        await asyncio.to_thread(people.root.create_alias, "books", "library")
        with pytest.raises(grpc.aio.AioRpcError, match="use its name 'books'"):
            await call(
                proxy, "DropCollection", milvus.DropCollectionRequest(collection_name="library")
            )
        assert await people.may_search("books")
