"""The whole configuration of both services."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from vecguard.config import consistency
from vecguard.config.audit import AuditSettings
from vecguard.config.authentication import AuthenticationSettings, CacheSettings
from vecguard.config.consistency import Inconsistency
from vecguard.config.etcd import EtcdSettings
from vecguard.config.fields import LowerCase, Section, one_of
from vecguard.config.revocation import ElectionSettings, LeaseSettings
from vecguard.config.security import (
    BuiltinRolesSettings,
    CommonSettings,
    InternalTlsSettings,
    TlsMode,
    TlsSettings,
)
from vecguard.config.services import BackendSettings, ProxySettings, RootCoordSettings
from vecguard.config.tracing import TraceSettings

LogLevel = Literal["debug", "info", "warn", "error"]
LogFormat = Literal["auto", "text", "json"]
RevocationMode = Literal["strict", "bounded"]

#: The type of pydantic's error for settings that contradict each other; its context holds them.
INCONSISTENT = "inconsistent_settings"


class LogSettings(Section):
    """The log on standard error."""

    level: Annotated[LogLevel, LowerCase, one_of(("debug", "info", "warn", "error"))] = Field(
        default="info", description="Minimum severity of log entries."
    )
    format: Annotated[LogFormat, LowerCase, one_of(("auto", "text", "json"))] = Field(
        default="auto",
        description="Format of the log: text is for people, json for machines. auto chooses text "
        "on a terminal, otherwise json.",
    )


class Settings(Section):
    """Holds every setting, each valid and all consistent."""

    etcd: EtcdSettings = Field(default_factory=EtcdSettings)
    common: CommonSettings = Field(default_factory=CommonSettings)
    builtin_roles: BuiltinRolesSettings = BuiltinRolesSettings()
    tls: TlsSettings = TlsSettings()
    internaltls: InternalTlsSettings = InternalTlsSettings()
    proxy: ProxySettings = ProxySettings()
    root_coord: RootCoordSettings = RootCoordSettings()
    backend: BackendSettings = BackendSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    cache: CacheSettings = CacheSettings()
    revocation: Annotated[RevocationMode, LowerCase, one_of(("strict", "bounded"))] = Field(
        default="strict",
        description="What a proxy does without a valid lease: strict refuses calls, bounded "
        "continues with entries that are younger than cache.ttl.",
    )
    lease: LeaseSettings = LeaseSettings()
    election: ElectionSettings = ElectionSettings()
    log: LogSettings = LogSettings()
    audit: AuditSettings = AuditSettings()
    trace: TraceSettings = TraceSettings()

    @property
    def tls_mode(self) -> TlsMode:
        """How clients reach the public port, by `tlsMode` or the older `tlsEnabled`."""
        return consistency.effective_tls_mode(self.common.security, self.tls)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        found = tuple(self._inconsistencies())
        if found:
            raise PydanticCustomError(
                INCONSISTENT,
                "settings that do not go together: {summary}",
                {"found": found, "summary": "; ".join(each.complaint for each in found)},
            )
        return self

    def _inconsistencies(self) -> Iterator[Inconsistency]:
        yield from consistency.check_tls(self.common.security, self.tls)
        yield from consistency.check_certificate_pairs(self.etcd, self.internaltls, self.backend)
        yield from consistency.check_etcd_login(self.etcd)
        yield from consistency.check_password_lengths(self.proxy)
        yield from consistency.check_lease(self.lease, self.election)
