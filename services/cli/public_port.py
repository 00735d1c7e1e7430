"""What can be seen of a proxy from its public port, without any login of one's own."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from typing import Final

from cryptography import x509
from grpclib.client import Channel

from services.cli.accounts import NotServingError
from services.cli.connection import Connection, Login
from services.cli.exit_codes import UsageError
from services.cli.finding import Finding, Severity
from services.cli.login import Verdict, accepts_anybody, check_login
from shared.addresses import Address, is_loopback
from shared.errors import OverloadedError, UnavailableError, VecguardError
from shared.secret import Secret
from shared.tls import certificates
from shared.tls.reloading import WARN_BEFORE_EXPIRY_SECONDS
from shared.usernames import ROOT

#: Milvus's own first password of root, known to everybody.
DEFAULT_ROOT_LOGIN: Final = Login(ROOT, Secret("Milvus"))

_DAY_SECONDS = 86_400


async def examine_public_port(connection: Connection) -> list[Finding]:
    """Authorization, the default password, and the certificate.

    Raises:
        UsageError: the options of the connection cannot be used.
    """
    name = f"public port {connection.address}"
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
                error.message.removeprefix(f"{connection.address}: "),
                "see what its operations port says: vecguard status",
            )
        ]
    except UnavailableError as error:
        return [
            Finding(
                Severity.WRONG,
                name,
                error.message,
                "see that a proxy runs there and that its TLS settings and these agree",
            )
        ]
    except VecguardError as error:
        return [Finding(Severity.WRONG, name, error.message, "see that a proxy answers there")]
    return [*findings, *await _examine_encryption(connection, name)]


async def _examine_logins(channel: Channel, name: str, connection: Connection) -> list[Finding]:
    if connection.cert is None and await accepts_anybody(channel, connection.address):
        return [
            Finding(
                Severity.WRONG,
                name,
                "a call without a login is accepted: authorization is off",
                "set common.security.authorizationEnabled to true",
            )
        ]
    verdict = await check_login(channel, connection.address, DEFAULT_ROOT_LOGIN)
    return list(judge_default_login(name, verdict))


def judge_default_login(name: str, verdict: Verdict) -> Iterator[Finding]:
    """What it means that root's well-known first password is accepted or refused."""
    if verdict.refusal is None:
        yield default_password_finding(name)
    else:
        yield Finding(
            Severity.GOOD, name, "calls need a login, and root's default password is refused"
        )


def default_password_finding(name: str) -> Finding:
    """Root has the password that everybody knows."""
    return Finding(
        Severity.WRONG,
        name,
        "root still has the well-known default password: whoever reaches the port owns it",
        "vecguard user passwd root",
    )


async def _examine_encryption(connection: Connection, name: str) -> list[Finding]:
    address = Address.parse(connection.address)
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
    certificate = await _server_certificate(connection, address)
    return [] if certificate is None else [judge_expiry(name, certificate, time.time())]


def judge_expiry(name: str, certificate: x509.Certificate, now: float) -> Finding:
    """For how long a server's certificate is still valid at `now` (seconds since the epoch)."""
    facts = certificates.facts(certificate)
    left = facts.valid_for_seconds(now)
    soon = left <= WARN_BEFORE_EXPIRY_SECONDS
    return Finding(
        Severity.WARNING if soon else Severity.GOOD,
        name,
        f"its certificate expires on {facts.not_after:%Y-%m-%d %H:%M} UTC "
        f"({left / _DAY_SECONDS:.0f} days)",
        "renew it; a running proxy takes up the new file by itself" if soon else "",
    )


async def _server_certificate(connection: Connection, address: Address) -> x509.Certificate | None:
    """The one that the server shows; None if the connection ends before. It was verified."""
    try:
        async with asyncio.timeout(connection.timeout):
            _, writer = await asyncio.open_connection(
                address.host,
                address.port,
                ssl=connection.context(),
                server_hostname=connection.server_name or address.host,
            )
    except (OSError, TimeoutError):
        return None
    tls = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject) else None
    writer.transport.abort()
    return None if der is None else x509.load_der_x509_certificate(der)
