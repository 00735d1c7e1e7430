"""Reads what one process reports on its operations port, as far as operators need it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from vecguard.observability.health import Check
from vecguard.observability.health_json import read_health

State = Literal["ready", "standby", "not_ready", "unreachable"]

_ROOT_COORD = "root_coord"
# Only a standby fails this check.
_ROLE = "role"


class NoReportError(Exception):
    """The answer does not come from an operations port; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of one link of a process.

    Attributes:
        expires_seconds: seconds until the first certificate of its set ends; negative after that.
        problem: what is wrong with it; "" when it is usable.
    """

    link: str
    expires_seconds: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """The report of one process at one moment. Everything but `address` may be unknown.

    Attributes:
        address: the address of its operations port that answered.
        error: why there is no report; None if there is one.
        service: `proxy` or `root_coord`.
        checks: its health checks.
        metrics: its samples by metric, for values that no check reports.
        clock_ahead_seconds: how far its wall clock is ahead of ours; precise to a second.
    """

    address: str
    error: str | None = None
    service: str | None = None
    version: str | None = None
    checks: tuple[Check, ...] = ()
    metrics: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict, hash=False)
    clock_ahead_seconds: float | None = None

    @property
    def state(self) -> State:
        """Whether it serves. A root coord on standby counts as serving."""
        if self.error is not None:
            return "unreachable"
        failed = {check.name for check in self.checks if check.critical and not check.healthy}
        if self.is_root_coord and failed == {_ROLE}:
            return "standby"
        return "not_ready" if failed else "ready"

    @property
    def is_root_coord(self) -> bool:
        """Whether it is a root coord."""
        return self.service == _ROOT_COORD

    @property
    def is_active(self) -> bool:
        """Whether it is the root coord that owns the credentials."""
        return self.is_root_coord and bool(self._largest("vecguard_root_coord_active"))

    @property
    def term(self) -> int | None:
        """The term that an active root coord serves."""
        return self._whole("vecguard_root_coord_term") if self.is_active else None

    @property
    def sessions(self) -> int | None:
        """The number of proxy processes connected to an active root coord."""
        return self._whole("vecguard_root_coord_sessions") if self.is_active else None

    @property
    def leases(self) -> int | None:
        """The number of proxy processes that hold a lease of an active root coord."""
        return self._whole("vecguard_root_coord_leases") if self.is_active else None

    @property
    def pending(self) -> int | None:
        """The number of invalidations that an active root coord still waits for."""
        return self._whole("vecguard_root_coord_invalidations_pending") if self.is_active else None

    @property
    def revocation(self) -> str | None:
        """A proxy's mode: `strict` or `bounded`."""
        modes = self.metrics.get("vecguard_proxy_revocation_mode", ())
        return next((sample.labels.get("mode") for sample in modes), None)

    @property
    def lease_seconds(self) -> float | None:
        """The seconds for which a proxy's lease still runs; the least of all its workers."""
        return self._smallest("vecguard_proxy_lease_remaining_seconds")

    @property
    def authorization(self) -> bool | None:
        """Whether a proxy authenticates requests."""
        return next((c.healthy for c in self.checks if c.name == "authorization"), None)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates of each encrypted link."""
        expiry = self.metrics.get("vecguard_tls_certificate_expires_seconds", ())
        seconds: dict[str, float] = {}
        for sample in expiry:
            link = sample.labels.get("link", "")
            seconds[link] = min(sample.value, seconds.get(link, sample.value))
        return tuple(
            Certificate(link, seconds.get(link), "" if check.healthy else check.message)
            for check in self.checks
            if check.name.startswith("tls_") and (link := check.name.removeprefix("tls_"))
        )

    def started_seconds(self) -> float | None:
        """When it was started, in seconds since the epoch by its own clock."""
        return self._smallest("process_start_time_seconds")

    def message_of(self, check: str) -> str:
        """Returns the message of one check; "" if there is no check of this name."""
        return next((each.message for each in self.checks if each.name == check), "")

    def _values(self, metric: str) -> list[float]:
        return [sample.value for sample in self.metrics.get(metric, ())]

    def _smallest(self, metric: str) -> float | None:
        return min(self._values(metric), default=None)

    def _largest(self, metric: str) -> float | None:
        return max(self._values(metric), default=None)

    def _whole(self, metric: str) -> int | None:
        value = self._largest(metric)
        return None if value is None else int(value)


def read_report(
    address: str, health: bytes, metrics: bytes, *, date: str | None, now: float
) -> ProcessReport:
    """Returns the report that the answers of an operations port make up.

    Args:
        address: where the answers came from.
        health: the body of /healthz.
        metrics: the body of /metrics.
        date: the Date header of the answer.
        now: our own wall clock when the answer came, in seconds since the epoch.

    Raises:
        NoReportError: this is not the answer of an operations port of Vecguard.
    """
    samples = _samples(metrics)
    build = next(iter(samples.get("vecguard_build_info", ())), None)
    if build is None:
        raise NoReportError("its metrics are not those of Vecguard; is it an operations port?")
    return ProcessReport(
        address=address,
        service=build.labels.get("service"),
        version=build.labels.get("version"),
        checks=_checks(health),
        metrics=samples,
        clock_ahead_seconds=_clock_ahead(date, now),
    )


def _checks(health: bytes) -> tuple[Check, ...]:
    try:
        return read_health(health).checks
    except ValueError as error:
        raise NoReportError("its health is no report of Vecguard; is it another service?") from (
            error
        )


def _samples(metrics: bytes) -> dict[str, tuple[Sample, ...]]:
    found: dict[str, list[Sample]] = {}
    try:
        for family in text_string_to_metric_families(metrics.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
    except (ValueError, LookupError, TypeError) as error:
        raise NoReportError("its metrics cannot be read; is it another service?") from error
    return {name: tuple(samples) for name, samples in found.items()}


def _clock_ahead(date: str | None, now: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - now if date else None
    except (ValueError, TypeError):
        return None


def newest_active(reports: Iterable[ProcessReport]) -> ProcessReport | None:
    """Returns the active root coord; of several that say so, the one with the highest term."""
    active = [report for report in reports if report.is_active]
    return max(active, key=lambda report: report.term or 0, default=None)
