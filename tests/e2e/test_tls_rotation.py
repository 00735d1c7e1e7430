"""Certificates and CAs are exchanged under load; no client notices without looking."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest

from deploy.local.stack import LocalStack
from tests.e2e.tls import (
    LOGIN,
    TlsStack,
    client_certificate,
    client_context,
    health_check,
    knock,
    metric,
    new_authority,
    replace_file,
    running_tls_stack,
    server_certificate,
    until_said,
    until_shown,
    write_identity,
)
from vecguard.config.security import TlsMode
from vecguard.tls.authority import Authority, Issued

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_VERSION = "/milvus.proto.milvus.MilvusService/GetVersion"
OLD_CONNECTIONS = 4
CALLS_PER_STEP = 100
CALL_SECONDS = 15.0


@dataclass
class Load:
    """Calls that never stop: on connections that stay, and each on a connection of its own.

    Attributes:
        trust: the CAs that new connections accept, PEM.
        identity: what new connections show; None in mode 1.
        kept: successful calls on connections from the beginning.
        fresh: successful calls on new connections.
        failures: what went wrong.
    """

    address: str
    trust: bytes
    identity: Issued | None = None
    kept: int = 0
    fresh: int = 0
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Under way; ends with its connections."""
        async with AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(self._channel()) for _ in range(OLD_CONNECTIONS)
            ]
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._keep_calling(each)) for each in channels]
                running += [tasks.create_task(self._keep_connecting()) for _ in range(2)]
                try:
                    await self.goes_on()
                    yield self
                finally:
                    for task in running:
                        task.cancel()

    async def goes_on(self) -> None:
        """Returns after many more calls of both kinds."""
        kept, fresh = self.kept + CALLS_PER_STEP, self.fresh + CALLS_PER_STEP // 10
        async with asyncio.timeout(CALL_SECONDS):
            while self.kept < kept or self.fresh < fresh:  # noqa: ASYNC110  others count
                await asyncio.sleep(0.01)

    def _channel(self) -> grpc.aio.Channel:
        own = self.identity
        credentials = grpc.ssl_channel_credentials(
            self.trust, own and own.key.reveal(), own and own.certificate
        )
        options = [
            ("grpc.ssl_target_name_override", "localhost"),
            # Neither may grpc share a connection, nor hide a failed call by repeating it.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        return grpc.aio.secure_channel(self.address, credentials, options)

    async def _keep_calling(self, channel: grpc.aio.Channel) -> None:
        while True:
            self.kept += await self._call(channel)

    async def _keep_connecting(self) -> None:
        while True:
            async with self._channel() as channel:
                self.fresh += await self._call(channel)

    async def _call(self, channel: grpc.aio.Channel) -> bool:
        try:
            await channel.unary_unary(GET_VERSION)(b"", metadata=LOGIN, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"{error.code().name}: {error.details()}")
            return False
        return True


async def until_reloaded(stack: TlsStack, times: float) -> None:
    """Wait until the public port has taken up so many new sets."""
    proxy, sample = stack.stack.proxies[0], 'vecguard_tls_reloads_total{link="public"}'
    async with asyncio.timeout(CALL_SECONDS):
        while await metric(proxy, sample) < times:  # noqa: ASYNC110  only its metrics tell
            await asyncio.sleep(0.05)


def bundle(authorities: Iterable[Authority]) -> bytes:
    return b"".join(each.issued.certificate for each in authorities)


async def test_certificate_and_ca_change_under_load_without_a_failed_call(tmp_path: Path):
    async with running_tls_stack(tmp_path, TlsMode.MUTUAL) as stack:
        old, new = stack.authority, new_authority("Vecguard CA")
        before = await knock(stack.port, client_context(old, client_files(stack, old)))
        load = Load(stack.address, old.issued.certificate, client_certificate(old))
        async with load.running():
            # The steps are those of docs/tls.md.
            replace_file(stack.certs / "ca.pem", bundle([old, new]))
            await until_reloaded(stack, 1)
            load.trust = bundle([old, new])
            await load.goes_on()

            fresh = server_certificate(new)
            write_identity(stack.certs, "server", fresh)
            await until_shown(stack, fresh.certificate)
            load.identity = client_certificate(new)
            await load.goes_on()

            replace_file(stack.certs / "ca.pem", bundle([new]))
            await until_refused(stack, client_context(new, client_files(stack, old)))
            load.trust = bundle([new])
            await load.goes_on()
        after = await knock(stack.port, client_context(new, client_files(stack, new)))

    assert load.failures == []
    assert before.certificate != after.certificate
    assert after.certificate == ssl.PEM_cert_to_DER_cert(fresh.certificate.decode())


async def test_a_certificate_changes_by_the_exchange_of_kubernetes_links_under_load(
    tmp_path: Path,
):
    volume = Volume(tmp_path / "volume")
    authority = new_authority()
    volume.publish(authority, server_certificate(authority))
    files = {"serverPemPath": str(volume.path / "tls.crt")} | {
        "serverKeyPath": str(volume.path / "tls.key")
    }
    settings = {"tls": files}
    async with running_tls_stack(tmp_path / "stack", TlsMode.SERVER, settings=settings) as stack:
        load = Load(stack.address, authority.issued.certificate)
        async with load.running():
            for _ in range(3):
                fresh = server_certificate(authority)
                volume.publish(authority, fresh)
                await until_shown(stack, fresh.certificate)
                await load.goes_on()

    assert load.failures == []


async def test_a_broken_certificate_is_refused_and_told_while_the_old_one_serves(
    one_way: TlsStack,
):
    proxy = one_way.stack.proxies[0]
    sample = 'vecguard_tls_reload_failures_total{link="public"}'
    context = client_context(one_way.authority)
    good = (one_way.certs / "server.pem").read_bytes()
    failures = await metric(proxy, sample)
    load = Load(one_way.address, one_way.authority.issued.certificate)
    before = await knock(one_way.port, context)
    try:
        async with load.running():
            replace_file(one_way.certs / "server.pem", good[: len(good) // 2])
            line = await until_said(proxy, "tls_reload_refused", "server.pem")
            await load.goes_on()
            during = await knock(one_way.port, context)
            check = await health_check(proxy, "tls_public")
            failures_during = await metric(proxy, sample)
    finally:
        replace_file(one_way.certs / "server.pem", good)
    await until_said(proxy, "tls_files_restored")
    check_after = await health_check(proxy, "tls_public")

    assert "tls.serverPemPath" in line
    assert load.failures == []
    assert during.certificate == before.certificate
    assert not check["healthy"]
    assert "server.pem" in check["message"]
    assert failures_during == failures + 1
    assert check_after["healthy"]


async def test_the_links_inside_change_their_certificates_without_losing_a_session(
    mutual: TlsStack,
):
    stack = mutual.stack
    before = sessions(stack)
    for name, authority, usage in (
        ("internal-client", mutual.inside, client_certificate),
        ("etcd-client", mutual.inside, client_certificate),
    ):
        common_name = "vecguard-proxy" if name == "internal-client" else "vecguard-etcd-client"
        write_identity(mutual.certs, name, usage(authority, name=common_name))
    await until_said(stack.proxies[0], "tls_reloaded", "label=root_coord")
    await until_said(stack.root_coord, "tls_reloaded", "label=etcd")
    load = Load(mutual.address, mutual.authority.issued.certificate)
    load.identity = client_certificate(mutual.authority)
    async with load.running():
        await load.goes_on()

    assert load.failures == []
    assert sessions(stack) == before


class Volume:
    """A directory as a kubelet keeps it: names lead through `..data` to dated directories."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._count = 0
        path.mkdir()

    def publish(self, authority: Authority, issued: Issued) -> None:
        """Exchange all files at once."""
        self._count += 1
        dated = self.path / f"..2026_{self._count}"
        dated.mkdir()
        (dated / "tls.crt").write_bytes(issued.certificate)
        (dated / "tls.key").write_bytes(issued.key.reveal())
        (dated / "ca.crt").write_bytes(authority.issued.certificate)
        link = self.path / "..data_tmp"
        link.symlink_to(dated.name)
        link.replace(self.path / "..data")
        for name in ("tls.crt", "tls.key", "ca.crt"):
            if self._count == 1:
                (self.path / name).symlink_to(f"..data/{name}")
        if self._count > 1:
            previous = self.path / f"..2026_{self._count - 1}"
            for each in previous.iterdir():
                each.unlink()
            previous.rmdir()


def client_files(stack: TlsStack, authority: Authority) -> tuple[Path, Path]:
    return write_identity(stack.identity_directory, "rotation", client_certificate(authority))


async def until_refused(stack: TlsStack, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(CALL_SECONDS):
        while True:
            try:
                await knock(stack.port, context)
            except ssl.SSLError:
                return


def sessions(stack: LocalStack) -> int:
    """How many sessions the first proxy has opened so far."""
    return sum("session_opened" in line for line in stack.proxies[0].recent_lines)
