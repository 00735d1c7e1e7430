"""Examines the public port by the TLS settings of a configuration, where no option says how."""

from dataclasses import replace
from pathlib import Path

from vecguard.cli.connection import Connection
from vecguard.cli.finding import Finding, Severity
from vecguard.cli.public_port import examine_public_port
from vecguard.config import Settings
from vecguard.config.security import TlsMode
from vecguard.tls.certificates import facts, read_certificates
from vecguard.tls.pem import PemError


async def examine_configured_port(
    connection: Connection, settings: Settings | None
) -> list[Finding]:
    """Examines the port as `examine_public_port`, over TLS if the configuration says so.

    Raises:
        UsageError: the options of the connection cannot be used.
    """
    if settings is None or settings.tls_mode is TlsMode.OFF or connection.says_tls:
        return await examine_public_port(connection)
    if settings.tls_mode is TlsMode.MUTUAL:
        return [
            Finding(
                Severity.NOTE,
                f"public port {connection.peer}",
                "it was not examined: clients need a certificate (tlsMode 2)",
                "give one with --cert and --key, and the server's CA with --ca",
            )
        ]
    return await examine_public_port(with_server_of(connection, settings))


def with_server_of(connection: Connection, settings: Settings) -> Connection:
    """Returns a connection that trusts the certificate in `tls.serverPemPath` and expects its name.

    The public CA need not be in the configuration of a server.
    """
    path = Path(settings.tls.server_pem_path)
    try:
        leaf = facts(read_certificates(path.read_bytes())[0])
    except (OSError, PemError):
        # `judge_files` reports it.
        return replace(connection, tls=True)
    names = (*leaf.dns_names, *map(str, leaf.ip_addresses))
    name = None if not names or leaf.covers(connection.place.host) else names[0]
    return replace(connection, tls=True, ca=path, server_name=name)
