"""Builds the TLS contexts of the five connections of the suite from the configuration.

Each function returns None when the connection is configured without TLS.
"""

import ssl
from functools import partial
from pathlib import Path

from vecguard.config.security import TlsMode
from vecguard.config.settings import Settings
from vecguard.errors import ConfigurationError
from vecguard.tls.contexts import (
    ContextBuilder,
    client_context,
    mutual_client_context,
    mutual_server_context,
    server_context,
)
from vecguard.tls.material import PemFile, TlsFiles
from vecguard.tls.reloading import ReloadingContext


def public_listener(settings: Settings) -> ReloadingContext | None:
    """Returns the context of the public port: `common.security.tlsMode` and `tls.*`.

    Raises:
        ConfigurationError: a file is missing in the settings or not usable.
    """
    mode = settings.tls_mode
    if mode is TlsMode.OFF:
        return None
    tls = settings.tls
    files = TlsFiles(
        _needed(tls.server_pem_path, "tls.serverPemPath"),
        _needed(tls.server_key_path, "tls.serverKeyPath"),
        # In mode 1 no client is asked for a certificate, so a CA file is not read.
        _needed(tls.ca_pem_path, "tls.caPemPath") if mode is TlsMode.MUTUAL else None,
    )
    build = mutual_server_context if mode is TlsMode.MUTUAL else server_context
    return _reloading(settings, files, build, "public", serves_clients=True)


def root_coord_listener(settings: Settings) -> ReloadingContext | None:
    """Returns root coord's context of connections from proxies: always mutual.

    Raises:
        ConfigurationError: a file is missing in the settings or not usable.
    """
    if not settings.common.security.internaltls_enabled:
        return None
    tls = settings.internaltls
    files = TlsFiles(
        _needed(tls.server_pem_path, "internaltls.serverPemPath"),
        _needed(tls.server_key_path, "internaltls.serverKeyPath"),
        _needed(tls.ca_pem_path, "internaltls.caPemPath"),
    )
    return _reloading(settings, files, mutual_server_context, "root_coord")


def root_coord_client(settings: Settings) -> ReloadingContext | None:
    """Returns the proxy's context of the connection to root coord: always mutual, TLS 1.3.

    Raises:
        ConfigurationError: a file is missing in the settings or not usable.
    """
    if not settings.common.security.internaltls_enabled:
        return None
    tls = settings.internaltls
    files = TlsFiles(
        _needed(tls.client_pem_path, "internaltls.clientPemPath"),
        _needed(tls.client_key_path, "internaltls.clientKeyPath"),
        _needed(tls.ca_pem_path, "internaltls.caPemPath"),
    )
    return _reloading(settings, files, mutual_client_context, "root_coord", tls.sni)


def backend_client(settings: Settings) -> ReloadingContext | None:
    """Returns the context of backend connections: `backend.tls.*`; mutual with a certificate.

    Raises:
        ConfigurationError: a file is not usable.
    """
    tls = settings.backend.tls
    if not tls.enabled:
        return None
    files = TlsFiles(
        _optional(tls.client_pem_path, "backend.tls.clientPemPath"),
        _optional(tls.client_key_path, "backend.tls.clientKeyPath"),
        _optional(tls.ca_pem_path, "backend.tls.caPemPath"),
    )
    return _reloading(settings, files, client_context, "backend", tls.server_name, is_client=True)


def etcd_client(settings: Settings) -> ReloadingContext | None:
    """Returns the context of etcd connections: `etcd.ssl.*`; mutual with a certificate.

    Raises:
        ConfigurationError: a file is not usable.
    """
    tls = settings.etcd.ssl
    if not tls.enabled:
        return None
    files = TlsFiles(
        _optional(tls.tls_cert, "etcd.ssl.tlsCert"),
        _optional(tls.tls_key, "etcd.ssl.tlsKey"),
        _optional(tls.tls_ca_cert, "etcd.ssl.tlsCACert"),
    )
    # HTTP/2 needs TLS 1.2 (RFC 9113, section 9.2), so Milvus's 1.0 and 1.1 mean it too.
    minimum = ssl.TLSVersion.TLSv1_3 if tls.tls_min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    build = partial(client_context, minimum_version=minimum)
    return _reloading(settings, files, build, "etcd", is_client=True)


def _reloading(
    settings: Settings,
    files: TlsFiles,
    build: ContextBuilder,
    label: str,
    server_name: str = "",
    *,
    serves_clients: bool = False,
    is_client: bool = False,
) -> ReloadingContext:
    return ReloadingContext(
        files,
        build,
        label=label,
        server_name=server_name or None,
        interval_seconds=settings.tls.reload_interval,
        serves_clients=serves_clients,
        is_client=is_client,
    )


def _needed(path: str, setting: str) -> PemFile:
    if not path:
        raise ConfigurationError(f"{setting} is empty, but TLS is switched on; set it to a file")
    return PemFile(Path(path), setting)


def _optional(path: str, setting: str) -> PemFile | None:
    return PemFile(Path(path), setting) if path else None
