"""A stack with TLS, its CAs, and clients of its ports."""

import asyncio
import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local import configuration
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.process import Process
from deploy.local.readiness import http_ok
from deploy.local.stack import LocalStack, ProxyProcess
from tests.e2e.stacks import running_stack
from vecguard.config.security import TlsMode
from vecguard.secret import Secret
from vecguard.tls.authority import Authority, Issued, Usage, parse_name
from vecguard.tls.certificate_set import LOOPBACK_NAMES
from vecguard.tls.certificates import read_certificates, read_private_key

#: Refusals come during the handshake; this is what a slow machine may add.
QUICKLY_SECONDS = 15.0
WATCH_FILES = {"tls": {"reloadInterval": 0.1}}
DAY = timedelta(days=1)
#: Metadata of a call that is root's.
LOGIN = (("authorization", base64.b64encode(b"root:Milvus").decode()),)
_DEADLINE_SECONDS = 20.0
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_HEADER_SIZE = 9


@dataclass(frozen=True)
class TlsStack:
    """A running stack and the two CAs behind its certificates."""

    stack: LocalStack
    mode: TlsMode
    authority: Authority
    inside: Authority
    identity_directory: Path

    @property
    def address(self) -> str:
        return self.stack.proxies[0].address

    @property
    def port(self) -> int:
        return self.stack.ports.proxies[0].public

    @property
    def certs(self) -> Path:
        assert self.stack.certificates is not None
        return self.stack.certificates.directory

    def client(self, name: str, issued: Issued) -> dict[str, str]:
        """pymilvus's arguments for this client certificate, in files."""
        certificate, key = write_identity(self.identity_directory, name, issued)
        return {"client_pem_path": str(certificate), "client_key_path": str(key)}

    def ways(self) -> dict[str, str]:
        """pymilvus's arguments that are right for this stack."""
        common = {"server_name": "localhost"}
        if self.mode is TlsMode.SERVER:
            return common | {"server_pem_path": str(self.certs / "ca.pem")}
        return common | {
            "client_pem_path": str(self.certs / "client.pem"),
            "client_key_path": str(self.certs / "client.key"),
            "ca_pem_path": str(self.certs / "ca.pem"),
        }


@asynccontextmanager
async def running_tls_stack(
    directory: Path, mode: TlsMode, *, settings: dict[str, Any] | None = None
) -> AsyncIterator[TlsStack]:
    """A stack with certificates of its own, which looks at its files all the time."""
    both = configuration.laid_over(WATCH_FILES, settings or {})
    identities = directory / "identities"
    identities.mkdir(parents=True)
    async with running_stack(directory / "data", tls=mode, settings=both) as stack:
        assert stack.certificates is not None
        certs = stack.certificates.directory
        public, inside = (_authority(certs / name) for name in ("ca", "internal-ca"))
        yield TlsStack(stack, mode, public, inside, identities)


def _authority(path: Path) -> Authority:
    """The CA in two files, which have this path but for their suffixes."""
    certificate = path.with_suffix(".pem").read_bytes()
    private = path.with_suffix(".key").read_bytes()
    key = read_private_key(private)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(read_certificates(certificate)[0], key, Issued(certificate, Secret(private)))


def issue(
    authority: Authority,
    *,
    usage: Usage,
    name: str = "somebody",
    names: tuple[str, ...] = (),
    start: timedelta = timedelta(),
    days: float = 40,
) -> Issued:
    """A certificate that begins at `start` from now and lasts `days` from there."""
    return authority.issue(
        name,
        usage=usage,
        # It is dated back an hour.
        now=datetime.now(UTC) + start,
        days=days,
        names=[parse_name(each) for each in names],
    )


def server_certificate(authority: Authority, **changes: Any) -> Issued:
    return issue(authority, usage=Usage.SERVER, **{"names": LOOPBACK_NAMES} | changes)


def client_certificate(authority: Authority, **changes: Any) -> Issued:
    return issue(authority, usage=Usage.CLIENT, **changes)


def new_authority(name: str = "Another CA") -> Authority:
    return Authority.create(name, now=datetime.now(UTC), days=100)


def write_identity(directory: Path, name: str, issued: Issued) -> tuple[Path, Path]:
    """Put certificate and key in place, each by a rename."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    replace_file(key, issued.key.reveal())
    replace_file(certificate, issued.certificate)
    return certificate, key


def replace_file(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def client_context(
    authority: Authority,
    identity: tuple[Path, Path] | None = None,
    *,
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
) -> ssl.SSLContext:
    """OpenSSL's side of a client."""
    context = ssl.create_default_context(cadata=authority.issued.certificate.decode())
    context.set_alpn_protocols(["h2"])
    context.maximum_version = maximum
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


@dataclass(frozen=True)
class Opened:
    """What a client saw of a connection that both sides accepted."""

    certificate: bytes | None
    version: str | None


async def knock(port: int, context: ssl.SSLContext | None, name: str = "localhost") -> Opened:
    """Open an HTTP/2 connection up to the server's first frame.

    Raises:
        OSError: it was refused, in whatever way; ssl.SSLError is one.
        asyncio.IncompleteReadError: it was closed.
        TimeoutError: neither that nor a first frame came quickly.
    """
    async with asyncio.timeout(QUICKLY_SECONDS):
        reader, writer = await asyncio.open_connection(
            LOOPBACK, port, ssl=context, server_hostname=name if context else None
        )
        try:
            writer.write(_OPENING)
            # A TLS 1.3 client learns only by its first read whether it was accepted.
            await reader.readexactly(_FRAME_HEADER_SIZE)
            tls = writer.get_extra_info("ssl_object")
            return Opened(tls and tls.getpeercert(binary_form=True), tls and tls.version())
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(stack: TlsStack, issued: Issued) -> AsyncIterator[None]:
    """The public port shows this certificate for a while."""
    before = [(path, path.read_bytes()) for path in sorted(stack.certs.glob("server.*"))]
    write_identity(stack.certs, "server", issued)
    await until_shown(stack, issued.certificate)
    try:
        yield
    finally:
        for path, content in before:
            replace_file(path, content)
        await until_shown(stack, (stack.certs / "server.pem").read_bytes())


async def until_shown(stack: TlsStack, certificate: bytes) -> None:
    """Wait until new connections are shown this certificate (PEM)."""
    wanted = ssl.PEM_cert_to_DER_cert(certificate.decode())
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while await _shown(stack.port) != wanted:  # noqa: ASYNC110  only knocking tells
            await asyncio.sleep(0.02)


async def _shown(port: int) -> bytes | None:
    # A server shows its certificate before it asks for one, so nothing else matters here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(QUICKLY_SECONDS):
        _, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context)
        try:
            certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(True)
            return certificate
        finally:
            writer.transport.abort()


@asynccontextmanager
async def another_proxy(
    stack: LocalStack, directory: Path, changes: dict[str, Any], *, ready: bool = True
) -> AsyncIterator[ProxyProcess]:
    """One more proxy, configured as the stack's first but for these changes."""
    ports = Ports.free().proxies[0]
    own = {
        "proxy": {
            "ip": LOOPBACK,
            "port": ports.public,
            "operations": {"ip": LOOPBACK, "port": ports.operations},
        }
    }
    first = stack.proxies[0]
    program = replace(
        _reconfigured(first, directory / "another-proxy.yaml", own, changes),
        name="another-proxy",
        ready=http_ok(ports.operations, "/readyz"),
    )
    process = ProxyProcess(program, lambda _name, _line: None, ports.public, ports.operations)
    async with _running(process, ready=ready):
        yield process


@asynccontextmanager
async def another_root_coord(
    stack: LocalStack, directory: Path, changes: dict[str, Any]
) -> AsyncIterator[Process]:
    """One more root coord, which is not waited for."""
    ports = Ports.free()
    own = {
        "rootCoord": {
            "ip": LOOPBACK,
            "port": ports.root_coord,
            "operations": {"ip": LOOPBACK, "port": ports.root_coord_operations},
        }
    }
    program = _reconfigured(stack.root_coord, directory / "another-root-coord.yaml", own, changes)
    process = Process(replace(program, name="another-root-coord"), lambda _name, _line: None)
    async with _running(process, ready=False):
        yield process


def _reconfigured(like: Process, path: Path, *layers: dict[str, Any]) -> Any:
    *command, configured = like.program.argv
    configuration.write(path, yaml.safe_load(Path(configured).read_text()), *layers)
    return replace(like.program, argv=(*command, str(path)))


@asynccontextmanager
async def _running(process: Process, *, ready: bool) -> AsyncIterator[None]:
    try:
        await process.start()
        if ready:
            await process.wait_ready()
        yield
    except BaseException as error:
        error.add_note("\n".join([f"--- log of {process.name}", *process.recent_lines[-40:]]))
        raise
    finally:
        await process.stop()


async def until_said(process: Process, *words: str) -> str:
    """The line of its log that holds all of these words, as soon as there is one."""
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            for line in process.recent_lines:
                if all(word in line for word in words):
                    return line
            await asyncio.sleep(0.02)


async def operations(process: ProxyProcess, path: str) -> str:
    """What its operations port answers, good or bad."""

    def get() -> str:
        try:
            with urllib.request.urlopen(
                f"http://{process.operations_address}{path}", timeout=5
            ) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    return await asyncio.to_thread(get)


async def health_check(process: ProxyProcess, name: str) -> dict[str, Any]:
    """One check of its health report."""
    report = json.loads(await operations(process, "/healthz"))
    check: dict[str, Any] = report["checks"][name]
    return check


async def metric(process: ProxyProcess, sample: str) -> float:
    """The value of this sample, name and labels as they are exposed; 0 without one."""
    for line in (await operations(process, "/metrics")).splitlines():
        if line.startswith(sample + " "):
            return float(line.rpartition(" ")[2])
    return 0.0
