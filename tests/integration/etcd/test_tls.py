import asyncio
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.etcd import EtcdProcess
from tests.support.tcp_relay import TcpRelay
from vecguard.etcd import EtcdClient, EtcdUnavailableError, Put
from vecguard.tls.authority import Authority, Usage, parse_name

# The address that its certificate names; no host name is in it.
ADDRESS = "127.0.0.1"


@dataclass
class Files:
    authority: Path
    certificate: Path
    key: Path

    def context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.set_alpn_protocols(["h2"])
        if with_certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


def issue(directory: Path, authority: Authority, name: str, names: list[str]) -> Files:
    issued = authority.issue(
        name,
        usage=Usage.BOTH,
        now=datetime.now(UTC),
        days=1,
        names=[parse_name(text) for text in names],
    )
    files = Files(directory / "ca.pem", directory / f"{name}.pem", directory / f"{name}.key")
    files.authority.write_bytes(authority.issued.certificate)
    files.certificate.write_bytes(issued.certificate)
    files.key.write_bytes(issued.key.reveal())
    return files


@pytest.fixture(scope="module")
def client_files(secured: tuple[EtcdProcess, Files]) -> Files:
    return secured[1]


@pytest.fixture(scope="module")
def tls_etcd(secured: tuple[EtcdProcess, Files]) -> EtcdProcess:
    return secured[0]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EtcdProcess, Files]]:
    """etcd that demands client certificates; its own is for its address, not for a name."""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority.create("etcd test CA", now=datetime.now(UTC), days=2)
    server = issue(directory, authority, "server", [ADDRESS])
    client = issue(directory, authority, "client", ["DNS:client"])
    process = EtcdProcess(
        directory / "etcd",
        scheme="https",
        arguments=[
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            f"--trusted-ca-file={server.authority}",
            "--client-cert-auth",
        ],
    )
    with ExitStack() as stack:
        stack.callback(process.kill)
        process.start()
        yield process, client


async def test_a_client_certificate_and_the_servers_name_open_the_door(
    tls_etcd, client_files, prefix
):
    async with EtcdClient([tls_etcd.endpoint], ssl=client_files.context()) as client:
        result = await client.txn([], [Put(prefix + b"k", b"v")])
        async with aclosing(
            client.watch(prefix, prefix=True, start_revision=result.revision)
        ) as batches:
            assert (await anext(batches)).revision == result.revision


async def refused(endpoint: str, match: str | None = None, **arguments) -> None:
    async with EtcdClient([endpoint], request_timeout_seconds=3, **arguments) as client:
        with pytest.raises(EtcdUnavailableError, match=match):
            await client.txn([], [Put(b"k", b"v")])


async def test_without_a_client_certificate_nothing_is_served(tls_etcd, client_files):
    context = client_files.context(with_certificate=False)
    await refused(tls_etcd.endpoint, "may refuse the client's certificate", ssl=context)


async def test_a_server_of_another_name_is_refused_and_the_error_says_so(tls_etcd, client_files):
    by_name = f"localhost:{tls_etcd.ports.client}"
    await refused(by_name, "certificate verify failed", ssl=client_files.context())


async def test_a_server_of_another_authority_is_refused(tls_etcd, tmp_path):
    foreign = Authority.create("another CA", now=datetime.now(UTC), days=2)
    files = issue(tmp_path, foreign, "client", ["DNS:client"])
    await refused(tls_etcd.endpoint, "certificate verify failed", ssl=files.context())


async def test_plain_and_tls_do_not_mix_and_do_not_hang(tls_etcd, etcd, client_files):
    await refused(tls_etcd.endpoint)
    await refused(etcd.endpoint, ssl=client_files.context())


async def test_a_connection_that_fell_silent_is_left_promptly_under_tls(
    tls_etcd, client_files, prefix, monkeypatch
):
    """Over TLS a polite close would wait half a minute for the silent peer."""
    monkeypatch.setattr("vecguard.etcd.channel.KEEPALIVE_SECONDS", 1.0)
    monkeypatch.setattr("vecguard.etcd.channel.KEEPALIVE_TIMEOUT_SECONDS", 0.5)
    context = client_files.context()
    async with (
        TcpRelay(tls_etcd.ports.client) as relay,
        EtcdClient([tls_etcd.endpoint], ssl=context) as writer,
        EtcdClient([relay.endpoint, tls_etcd.endpoint], ssl=context) as client,
    ):
        first = await writer.txn([], [Put(prefix + b"k", b"1")])
        batches = client.watch(prefix, prefix=True, start_revision=first.revision)
        async with asyncio.timeout(10), aclosing(batches):
            await anext(batches)
            relay.frozen = True
            await writer.txn([], [Put(prefix + b"k", b"2")])
            assert (await anext(batches)).events[0].kv.value == b"2"
