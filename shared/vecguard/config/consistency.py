"""Checks settings that are each valid but do not fit together."""

from collections.abc import Iterator
from dataclasses import dataclass

from vecguard.config.etcd import EtcdSettings
from vecguard.config.revocation import ElectionSettings, LeaseSettings
from vecguard.config.security import InternalTlsSettings, SecuritySettings, TlsMode, TlsSettings
from vecguard.config.services import BackendSettings, ProxySettings


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """A contradiction between settings.

    Attributes:
        keys: the settings concerned, dotted and spelled as in the file.
        complaint: what is wrong and what would be right.
    """

    keys: tuple[str, ...]
    complaint: str


def effective_tls_mode(security: SecuritySettings, tls: TlsSettings) -> TlsMode:
    """Returns `tlsMode`, or the mode that the older `tlsEnabled` stands for."""
    if security.tls_mode is not None:
        return TlsMode(security.tls_mode)
    return _mode_of_older_form(security, tls)


def _mode_of_older_form(security: SecuritySettings, tls: TlsSettings) -> TlsMode:
    if not security.tls_enabled:
        return TlsMode.OFF
    return TlsMode.MUTUAL if tls.ca_pem_path else TlsMode.SERVER


def check_tls(security: SecuritySettings, tls: TlsSettings) -> Iterator[Inconsistency]:
    """Checks that the public port's mode is set only once, and that it has its files."""
    mode = effective_tls_mode(security, tls)
    mode_key = f"common.security.{'tlsEnabled' if security.tls_mode is None else 'tlsMode'}"
    missing = [
        key
        for key, value, needed_from in (
            ("tls.serverPemPath", tls.server_pem_path, TlsMode.SERVER),
            ("tls.serverKeyPath", tls.server_key_path, TlsMode.SERVER),
            ("tls.caPemPath", tls.ca_pem_path, TlsMode.MUTUAL),
        )
        if mode >= needed_from and not value
    ]
    if missing:
        yield Inconsistency(
            (mode_key, *missing), f"TLS mode {mode:d} needs {' and '.join(missing)}"
        )
    if None in (security.tls_mode, security.tls_enabled) or "tls.caPemPath" in missing:
        return
    older = _mode_of_older_form(security, tls)
    if older != mode:
        yield Inconsistency(
            ("common.security.tlsMode", "common.security.tlsEnabled", "tls.caPemPath"),
            f"tlsMode is {mode:d}, but tlsEnabled means {older:d} here; set only tlsMode",
        )


def _check_pair(certificate: tuple[str, str], key: tuple[str, str]) -> Iterator[Inconsistency]:
    if bool(certificate[1]) != bool(key[1]):
        names = (certificate[0], key[0])
        yield Inconsistency(names, "set both the certificate and its key, or neither")


def check_certificate_pairs(
    etcd: EtcdSettings, internal: InternalTlsSettings, backend: BackendSettings
) -> Iterator[Inconsistency]:
    """Checks that each certificate has its key."""
    yield from _check_pair(
        ("etcd.ssl.tlsCert", etcd.ssl.tls_cert), ("etcd.ssl.tlsKey", etcd.ssl.tls_key)
    )
    yield from _check_pair(
        ("internaltls.serverPemPath", internal.server_pem_path),
        ("internaltls.serverKeyPath", internal.server_key_path),
    )
    yield from _check_pair(
        ("internaltls.clientPemPath", internal.client_pem_path),
        ("internaltls.clientKeyPath", internal.client_key_path),
    )
    yield from _check_pair(
        ("backend.tls.clientPemPath", backend.tls.client_pem_path),
        ("backend.tls.clientKeyPath", backend.tls.client_key_path),
    )


def check_etcd_login(etcd: EtcdSettings) -> Iterator[Inconsistency]:
    """Checks that a login at etcd has a name."""
    if etcd.auth.enabled and not etcd.auth.user_name:
        yield Inconsistency(
            ("etcd.auth.enabled", "etcd.auth.userName"), "a login to etcd needs a user name"
        )


def check_password_lengths(proxy: ProxySettings) -> Iterator[Inconsistency]:
    """Checks that the limits permit some password."""
    if proxy.min_password_length > proxy.max_password_length:
        yield Inconsistency(
            ("proxy.minPasswordLength", "proxy.maxPasswordLength"),
            f"the minimum length of a password ({proxy.min_password_length}) must not exceed the "
            f"maximum ({proxy.max_password_length})",
        )


def check_lease(lease: LeaseSettings, election: ElectionSettings) -> Iterator[Inconsistency]:
    """Checks that a healthy session keeps its lease, and that a lease outlives an election."""
    if lease.renew_interval >= lease.ttl / 2:
        yield Inconsistency(
            ("lease.renewInterval", "lease.ttl"),
            f"renewals every {lease.renew_interval:g} s are too rare for a lease of "
            f"{lease.ttl:g} s; the interval must be less than half of the lease",
        )
    elif lease.margin.usable_seconds(lease.ttl) <= lease.renew_interval:
        yield Inconsistency(
            ("lease.clockMargin.ratio", "lease.clockMargin.fixed", "lease.ttl"),
            f"with a margin of {lease.margin.given_up_seconds(lease.ttl):g} s a lease of "
            f"{lease.ttl:g} s expires before it is renewed after {lease.renew_interval:g} s; "
            "reduce the margin or extend the lease",
        )
    if lease.ttl <= election.ttl:
        yield Inconsistency(
            ("lease.ttl", "election.ttl"),
            f"a lease ({lease.ttl:g} s) must be longer than an election ({election.ttl:g} s); "
            "otherwise known logins are refused after a crash of root coord",
        )
    elif lease.margin.usable_seconds(election.ttl) <= 0:
        yield Inconsistency(
            ("lease.clockMargin.ratio", "lease.clockMargin.fixed", "election.ttl"),
            f"a margin of {lease.margin.given_up_seconds(election.ttl):g} s is not shorter than an "
            f"election of {election.ttl:g} s; reduce the margin or extend the election",
        )
