"""Examines a proxy from its public port, without an account of its own."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

from cryptography import x509
from grpclib.client import Channel

from vecguard.addresses import Address, is_loopback
from vecguard.cli.certificate_findings import judge_key, judge_validity
from vecguard.cli.connection import Connection, Login
from vecguard.cli.exit_codes import UsageError
from vecguard.cli.finding import Finding, Severity
from vecguard.cli.login import Verdict, accepts_anonymous_calls, check_login
from vecguard.cli.public_calls import NotServingError
from vecguard.errors import OverloadedError, UnavailableError, VecguardError
from vecguard.secret import Secret
from vecguard.tls import grpcio
from vecguard.tls.path import CertificatePath
from vecguard.tls.validity import SetValidity
from vecguard.usernames import ROOT

#: Milvus's well-known first password of root.
DEFAULT_ROOT_LOGIN: Final = Login(ROOT, Secret("Milvus"))


async def examine_public_port(connection: Connection) -> list[Finding]:
    """Examines authorization, the default password and the certificate.

    Raises:
        UsageError: the options of the connection cannot be used.
    """
    name = f"public port {connection.peer}"
    try:
        findings = await connection.questioned(
            lambda channel: _examine_logins(channel, name, connection)
        )
    except UsageError:
        raise
    except OverloadedError as error:
        return [Finding(Severity.NOTE, name, f"logins were not looked at: {error.message}")]
    except NotServingError as error:
        return [
            Finding(
                Severity.WRONG,
                name,
                error.message.removeprefix(f"{connection.peer}: "),
                "see what its operations port says: vecguard status",
            )
        ]
    except UnavailableError as error:
        return [
            Finding(
                Severity.WRONG,
                name,
                error.message,
                "check that a proxy runs there and that its TLS settings and these agree",
            )
        ]
    except VecguardError as error:
        return [Finding(Severity.WRONG, name, error.message, "check that a proxy answers there")]
    return [*findings, *await _examine_encryption(connection, name)]


async def _examine_logins(channel: Channel, name: str, connection: Connection) -> list[Finding]:
    if connection.cert is None and await accepts_anonymous_calls(channel, connection.peer):
        return [
            Finding(
                Severity.WRONG,
                name,
                "a call without a login is accepted: authorization is off",
                "set common.security.authorizationEnabled to true",
            )
        ]
    verdict = await check_login(channel, connection.peer, DEFAULT_ROOT_LOGIN)
    return list(judge_default_login(name, verdict))


def judge_default_login(name: str, verdict: Verdict) -> Iterator[Finding]:
    """Yields a finding about root's well-known first password, accepted or refused."""
    if verdict.refusal is None:
        yield default_password_finding(name)
    else:
        yield Finding(
            Severity.GOOD, name, "calls need a login, and root's default password is refused"
        )


def default_password_finding(name: str) -> Finding:
    """Returns the finding that root has the well-known password."""
    return Finding(
        Severity.WRONG,
        name,
        "root still has the well-known default password: anyone who reaches the port has full "
        "access",
        "vecguard user passwd root",
    )


async def _examine_encryption(connection: Connection, name: str) -> list[Finding]:
    address = connection.place
    if not connection.is_encrypted:
        if is_loopback(address.host):
            return []
        return [
            Finding(
                Severity.WARNING,
                name,
                "it is not encrypted: passwords and data travel in the clear",
                "set common.security.tlsMode to 1 or 2; vecguard certs init makes certificates",
            )
        ]
    path = await _server_path(connection, address)
    return list(judge_server(name, path, time.time()))


def judge_server(name: str, path: CertificatePath, now: float) -> Iterator[Finding]:
    """Yields findings about the certificates that a server presented, at `now` (epoch seconds)."""
    if path:
        yield from judge_validity(name, SetValidity(path, path[-1:]), now)
        yield from judge_key(name, grpcio.unusable_key(path, is_server=True))


async def _server_path(connection: Connection, address: Address) -> CertificatePath:
    """Returns the verified path from the server's certificate to our CA.

    It is empty if the connection ends before the handshake is done.
    """
    try:
        async with asyncio.timeout(connection.timeout):
            _, writer = await asyncio.open_connection(
                address.host,
                address.port,
                ssl=connection.context(),
                server_hostname=connection.server_name or address.host,
            )
    except (OSError, TimeoutError):
        return ()
    tls: Any = writer.get_extra_info("ssl_object")
    verified = tls._sslobj.get_verified_chain()  # noqa: SLF001 - public since Python 3.13
    path = tuple(x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in verified)
    writer.transport.abort()
    return path
