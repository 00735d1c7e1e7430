"""VecguardStack itself: what it hands out, and what it leaves behind."""

import asyncio
from pathlib import Path

import docker
import grpc
import pytest
from docker.errors import NotFound
from pymilvus import MilvusClient
from testcontainers.core.container import DockerContainer
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.containers.calls import OK, REFUSED, Caller, login
from tests.containers.conftest import StackMaker
from tests.support.waiting import eventually
from vecguard.testing import Account, Images, StackError, TlsMode, VecguardStack


def left(stack: VecguardStack) -> list[str]:
    """What the engine still has of this stack's network, and the network itself."""
    client = docker.from_env()
    try:
        try:
            network = client.networks.get(stack.network.name)
        except NotFound:
            network = None
        found = client.containers.list(all=True, filters={"network": stack.network.name})
        return [each.name for each in found] + ([network.name] if network else [])
    finally:
        client.close()


def containers() -> set[str]:
    """Those of this test run, and of no other that uses the engine."""
    client = docker.from_env()
    own = {"label": f"{LABEL_SESSION_ID}={SESSION_ID}"}
    try:
        return {each.id for each in client.containers.list(all=True, filters=own)}
    finally:
        client.close()


def test_made_user_logs_in_and_deleted_one_does_not(stack: VecguardStack):
    alice = stack.user("alice_of_test_stack")
    assert alice.username == "alice_of_test_stack"
    assert [login(proxy, alice) for proxy in stack.proxies] == [OK, OK, OK]

    stack.delete_user(alice)

    assert [login(proxy, alice) for proxy in stack.proxies] == [REFUSED, REFUSED, REFUSED]


def test_unnamed_users_are_different_ones(stack: VecguardStack):
    one, other = stack.user(), stack.user()
    assert one.username != other.username
    assert one.password != other.password
    stack.delete_user(one)
    stack.delete_user(other)


async def test_user_can_be_made_where_an_event_loop_runs(stack: VecguardStack):
    alice = stack.user()
    assert login(stack.proxies[0], alice) is OK
    stack.delete_user(alice)


def test_nothing_is_left_after_a_stack(make_stack: StackMaker):
    before = containers()
    with make_stack(proxies=1) as stack:
        assert len(containers() - before) == 4
        assert stack.root.password not in ("", "Milvus")
        assert login(stack.proxies[0], stack.root) is OK
        assert login(stack.proxies[0], Account("root", "Milvus")) is REFUSED
    assert containers() == before
    assert left(stack) == []


def test_failed_start_tells_the_logs_and_leaves_nothing(make_stack: StackMaker):
    before = containers()
    stack = make_stack(settings={"proxy": {"noSuchSetting": 1}})

    with pytest.raises(StackError, match="has ended") as caught, stack:
        pass

    notes = "\n".join(caught.value.__notes__)
    assert "--- log of root-coord-1" in notes
    assert "noSuchSetting" in notes
    assert containers() == before
    assert left(stack) == []


def test_failure_inside_tells_the_logs_and_leaves_nothing(make_stack: StackMaker):
    before = containers()
    with pytest.raises(ZeroDivisionError) as caught, make_stack() as stack:
        print(1 / 0)
    assert "--- log of proxy-1" in "\n".join(caught.value.__notes__)
    assert containers() == before
    assert left(stack) == []


def test_missing_image_is_named_and_how_to_make_it(make_stack: StackMaker, images: Images):
    missing = Images(
        "localhost/no-such-image:0", images.root_coord, images.milvus_lite, images.etcd
    )
    with pytest.raises(StackError, match=r"no-such-image.*make image"), make_stack(images=missing):
        pass


async def test_cancelled_start_leaves_nothing(make_stack: StackMaker):
    before = containers()
    stack = make_stack()

    async def enter() -> None:
        async with stack:
            raise AssertionError("it started before it was cancelled")

    starting = asyncio.create_task(enter())

    async def has_begun() -> bool:
        return bool(stack.parts)

    await eventually(has_begun)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert containers() == before
    assert left(stack) == []


async def test_stack_is_an_asynchronous_context_manager(make_stack: StackMaker):
    async with make_stack() as stack:
        alice = await asyncio.to_thread(stack.user)
        assert await asyncio.to_thread(login, stack.proxies[0], alice) is OK
    assert left(stack) == []


def test_given_container_is_the_backend_and_goes_with_the_stack(
    make_stack: StackMaker, images: Images
):
    before = containers()
    backend = DockerContainer(images.milvus_lite)
    with make_stack(backend=backend, backend_port=19540) as stack:
        assert login(stack.proxies[0], stack.root) is OK
        with pytest.raises(StackError, match="it is not Milvus Lite"):
            print(stack.backend_address)
    assert containers() == before


def test_given_address_is_the_backend(make_stack: StackMaker):
    # Something that speaks gRPC in that network and knows nothing of Milvus.
    with make_stack(backend="root-coord-1:53100") as stack:
        assert stack.backend is None
        assert login(stack.proxies[0], stack.root) is grpc.StatusCode.UNIMPLEMENTED
        assert login(stack.proxies[0], Account("root", "wrong")) is REFUSED


def test_client_options_connect_with_one_way_tls(make_stack: StackMaker):
    with make_stack(tls=True, proxies=2) as stack:
        alice = stack.user()
        for proxy in range(2):
            client = MilvusClient(**stack.client_options(alice, proxy=proxy))
            assert client.list_collections() == []
            with pytest.raises(grpc.RpcError, match="permission deny"):
                client.create_collection("shelf", dimension=4)
            client.close()
        admin = MilvusClient(**stack.client_options(stack.user(roles=["admin"])))
        admin.create_collection("shelf", dimension=4)
        assert admin.list_collections() == ["shelf"]
        admin.close()
        assert stack.tls is not None
        files = stack.tls.ca.parent
        assert login(stack.proxies[0], alice) is grpc.StatusCode.UNAVAILABLE
    assert not Path(files).exists()


def test_client_options_connect_with_mutual_tls_and_nobody_without_a_certificate(
    make_stack: StackMaker,
):
    with make_stack(tls=TlsMode.MUTUAL) as stack:
        options = stack.client_options(stack.user())
        client = MilvusClient(**options)
        assert client.list_collections() == []
        client.close()

        assert stack.tls is not None
        ca, certificate, key = (
            path.read_bytes() for path in (stack.tls.ca, stack.tls.certificate, stack.tls.key)
        )
        for client_files, expected in (
            ((key, certificate), OK),
            ((None, None), grpc.StatusCode.UNAVAILABLE),
        ):
            credentials = grpc.ssl_channel_credentials(ca, *client_files)
            name = ("grpc.ssl_target_name_override", stack.tls.server_name)
            no_proxy = ("grpc.enable_http_proxy", 0)
            with grpc.secure_channel(stack.address, credentials, [name, no_proxy]) as channel:
                assert Caller(channel).answer(stack.root) is expected
