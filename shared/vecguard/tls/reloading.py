"""Reloads certificates, keys and CAs that change under a running process."""

import asyncio
import ssl
import time
from collections import Counter
from dataclasses import dataclass

from vecguard.clock import Clock
from vecguard.observability.log import get_logger
from vecguard.tls import grpcio
from vecguard.tls.contexts import ContextBuilder, load
from vecguard.tls.live import LiveContext
from vecguard.tls.material import (
    TlsFiles,
    TlsMaterial,
    TlsMaterialError,
    WrongUsageError,
    require_usage,
    take_snapshot,
)
from vecguard.tls.validity import Stage, Validity

#: A kubelet takes about a minute to bring a new Secret to a pod, to which ten seconds add
#: little. Reading three small files at this interval is cheap.
DEFAULT_INTERVAL_SECONDS = 10.0
WARN_EVERY_SECONDS = 86_400.0

_DATE_WARNINGS = {
    Stage.ENDS_SOON: "tls_expires_soon",
    Stage.NOT_YET_VALID: "tls_not_yet_valid",
    Stage.ENDED: "tls_expired",
}

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """The files still hold the set in use."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    material: TlsMaterial
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class _Refused:
    digest: bytes
    error: TlsMaterialError


_Finding = _Unchanged | _Accepted | _Refused


class ReloadingContext:
    """Follows the TLS files of one listener or one client.

    The files are compared by content, so that a rename, a rewrite in place and the
    exchange of Kubernetes' `..data` link all count. A new set is used only when it is
    complete; until then the old one stays. Existing connections are never touched.

    Pass `context` to the listener or channel once, or call `current()` for each connection.

    Attributes:
        label: the connection's name in logs, metrics and health ("public", "etcd").
        context: always uses the newest accepted context.
        reloads: the number of new sets that were accepted.
        failures: the number of new sets that were refused.
        last_error: why the present files are refused; None when they are in use.
        handshake_failures: the number of failed handshakes, by OpenSSL's reason in capitals.
    """

    def __init__(
        self,
        files: TlsFiles,
        build: ContextBuilder,
        *,
        label: str,
        server_name: str | None = None,
        interval_seconds: float = DEFAULT_INTERVAL_SECONDS,
        wall_clock: Clock = time.time,
        serves_clients: bool = False,
        is_client: bool = False,
    ) -> None:
        """Loads the files for the first time.

        Args:
            files: the files of this end of the connection.
            build: makes the context; a function of `vecguard.tls.contexts`.
            label: see above.
            server_name: for clients, see LiveContext.
            interval_seconds: how often `run` checks the files.
            wall_clock: returns seconds since the epoch; certificates are dated by it.
            serves_clients: whether programs of users connect, many of which use grpcio.
            is_client: whether a client shows the certificate.

        Raises:
            TlsMaterialError: the set is not usable. The process must not start.
        """
        self.label = label
        self.reloads = 0
        self.failures = 0
        self.last_error: str | None = None
        # OpenSSL knows a few hundred reasons, and a peer cannot invent one.
        self.handshake_failures: Counter[str] = Counter()
        self._files = files
        self._build = build
        self._interval_seconds = interval_seconds
        self._wall_clock = wall_clock
        self._serves_clients = serves_clients
        self._is_client = is_client
        self._refused_digest: bytes | None = None
        self._warned_at: float | None = None
        self._material, self._context = load(files, build)
        self.context = LiveContext(self.current, server_name, self._count_failure)

    @property
    def material(self) -> TlsMaterial:
        """The set in use."""
        return self._material

    @property
    def server_name(self) -> str | None:
        """For clients: the name that the server must prove; None for the dialled address."""
        return self.context.server_name

    def current(self) -> ssl.SSLContext:
        """Returns the context for a connection that begins now."""
        return self._context

    def expires_in(self, now: float) -> float | None:
        """Returns the seconds from `now` (since the epoch) until the set ends; None if never."""
        end = self._material.validity.ends(now)
        return None if end is None else end - now

    def worst(self, now: float) -> Validity | None:
        """Returns the certificate of the set in the worst stage; None if none of them ends."""
        return self._material.validity.worst(now)

    @property
    def unusable_key(self) -> str | None:
        """Why clients of grpcio cannot use the set; None when they can, or never connect."""
        if not self._serves_clients:
            return None
        path = self._material.validity.path(self._wall_clock())
        return grpcio.unusable_key(path, is_server=True)

    @property
    def wrong_usage(self) -> str | None:
        """Why servers that ask for a client's certificate refuse it; None when they accept it."""
        if not self._is_client:
            return None
        try:
            require_usage(self._material, is_server=False)
        except WrongUsageError as error:
            return error.message
        return None

    def check(self) -> bool:
        """Checks the files once. Returns whether a new set was accepted."""
        return self._apply(self._examine())

    async def run(self) -> None:
        """Warns of faults of the set in use, then checks the files every `interval_seconds`."""
        # Not when they are loaded: commands load files too, and describe faults in their own
        # words.
        self._warn_of_use()
        self._warn_of_dates(self._wall_clock())
        while True:
            await asyncio.sleep(self._interval_seconds)
            # Files may lie on a network share, so they are read in a thread.
            self._apply(await asyncio.to_thread(self._examine))

    def _count_failure(self, error: ssl.SSLError) -> None:
        self.handshake_failures[error.reason or "UNKNOWN"] += 1
        _log.debug("tls_handshake_failed", label=self.label, error=str(error))

    def _examine(self) -> _Finding:
        digest = take_snapshot(self._files).digest
        if digest == self._material.digest:
            return _Unchanged()
        try:
            material, context = load(self._files, self._build)
        except TlsMaterialError as error:
            return _Refused(digest, error)
        # `load` reads the files again, and they may have been restored in between.
        if material.digest == self._material.digest:
            return _Unchanged()
        return _Accepted(material, context)

    def _apply(self, finding: _Finding) -> bool:
        now = self._wall_clock()
        if isinstance(finding, _Refused):
            self._refuse(finding)
        elif isinstance(finding, _Accepted):
            self._take_up(finding, now)
        elif self.last_error is not None:
            self._settle()
            _log.info("tls_files_restored", label=self.label)
        self._warn_of_dates(now)
        return isinstance(finding, _Accepted)

    def _refuse(self, refused: _Refused) -> None:
        self.last_error = refused.error.message
        if refused.digest == self._refused_digest:
            return  # the same refused set is counted and logged once
        self._refused_digest = refused.digest
        self.failures += 1
        _log.error(
            "tls_reload_refused",
            label=self.label,
            error=refused.error.message,
            consequence="the previous certificates stay in use",
        )

    def _take_up(self, accepted: _Accepted, now: float) -> None:
        self._material, self._context = accepted.material, accepted.context
        self._warned_at = None
        self.reloads += 1
        self._settle()
        _log.info("tls_reloaded", label=self.label, days_left=_days(self.expires_in(now)))
        self._warn_of_use()

    def _settle(self) -> None:
        self.last_error = None
        self._refused_digest = None

    def _warn_of_use(self) -> None:
        if (usage := self.wrong_usage) is not None:
            _log.warning(
                "tls_client_certificate_not_for_clients",
                label=self.label,
                problem=usage,
                consequence="a server that asks for a client certificate refuses it",
            )
        if (problem := self.unusable_key) is not None:
            _log.warning(
                "tls_key_unusable_by_clients",
                label=self.label,
                problem=problem,
                advice=grpcio.ADVICE,
            )

    def _warn_of_dates(self, now: float) -> None:
        if self._warned_at is not None and now - self._warned_at < WARN_EVERY_SECONDS:
            return
        worst = self.worst(now)
        if worst is None or (event := _DATE_WARNINGS.get(worst.stage(now))) is None:
            return
        _log.warning(
            event,
            label=self.label,
            certificate=worst.name,
            days_left=_days(worst.left_seconds(now)),
            detail=worst.text(now),
        )
        self._warned_at = now


def context_of(reloading: ReloadingContext | None) -> ssl.SSLContext | None:
    """Returns the context to pass to a listener or a client; None without TLS."""
    return None if reloading is None else reloading.context


def _days(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 86_400, 1)
