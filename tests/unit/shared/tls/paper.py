"""Certificates and their files for tests."""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path

from shared.tls.authority import Authority, Issued, KeyKind, Usage, parse_name
from shared.tls.material import PemFile, TlsFiles

DAY = 86_400.0


async def until(condition, *, seconds=10.0):
    """Wait until a plain attribute has changed."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the state that is waited for has no event
            await asyncio.sleep(0.005)


def authority(name="Test CA", *, days=30):
    return Authority.create(name, now=datetime.now(UTC), days=days)


def issue(
    ca: Authority,
    name="server",
    *,
    usage=Usage.SERVER,
    names=("localhost", "127.0.0.1"),
    days=10.0,
    now=None,
    kind=KeyKind.EC,
) -> Issued:
    return ca.issue(
        name,
        usage=usage,
        now=now or datetime.now(UTC),
        days=days,
        names=[parse_name(each) for each in names],
        kind=kind,
    )


def client(ca: Authority, name="alice", *, names=(), days=10.0, now=None) -> Issued:
    return issue(ca, name, usage=Usage.CLIENT, names=names, days=days, now=now)


class Paper:
    """The files of one end of a link, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, content: bytes) -> Path:
        """Replace a file the way careful people do."""
        temporary = self.directory / f".{secrets.token_hex(4)}"
        temporary.write_bytes(content)
        return temporary.replace(self.directory / name)

    def put_identity(self, issued: Issued, *more: bytes) -> None:
        self.put("own.pem", issued.certificate + b"".join(more))
        self.put("own.key", issued.key.reveal())

    def put_authorities(self, *authorities: Authority) -> None:
        self.put("ca.pem", b"".join(each.issued.certificate for each in authorities))

    def files(self, *, identity=True, authorities=False) -> TlsFiles:
        return TlsFiles(
            PemFile(self.directory / "own.pem", "tls.serverPemPath") if identity else None,
            PemFile(self.directory / "own.key", "tls.serverKeyPath") if identity else None,
            PemFile(self.directory / "ca.pem", "tls.caPemPath") if authorities else None,
        )


def server_paper(directory: Path, issued: Issued, *authorities: Authority) -> Paper:
    paper = Paper(directory)
    paper.put_identity(issued)
    if authorities:
        paper.put_authorities(*authorities)
    return paper
