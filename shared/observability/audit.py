"""The audit log: every refused login and every change of an account, as JSON lines.

docs/audit.md is its schema. User names are as clients sent them, cut and escaped; no
password, hash or token comes here.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from shared.config.audit import OFF, STDOUT, AuditSettings
from shared.errors import VecguardError
from shared.observability.lines import LineWriter, RotatedFile, StandardOutput
from shared.observability.storm import Counted, Refusal, StormCounter

#: No store holds a longer name; what is longer was never meant as one.
MAX_NAME: Final = 255
_TICK_SECONDS: Final = 1.0

APPLIED: Final = "applied"
#: There was nothing to do, such as a user to delete who does not exist.
UNCHANGED: Final = "unchanged"
#: The caller hung up first; the change may have been made.
ABANDONED: Final = "abandoned"
_BUG: Final = "internal"


class Action(StrEnum):
    """What was to be done with an account."""

    CREATE = "create_user"
    UPDATE = "update_user"
    DELETE = "delete_user"


@dataclass(slots=True)
class AccountChange:
    """A change of an account, by whom and from where.

    Attributes:
        actor: who asked; None where authorization is off.
        fields: what was to be changed: password, description.
        outcome: `applied`, `unchanged`, or the stable reason why not.
        revision: the new version of the account's password; None when there is none.
    """

    action: Action
    target: str
    actor: str | None
    address: str | None
    fields: tuple[str, ...] = ()
    outcome: str = APPLIED
    revision: int | None = None


class Audit(Protocol):
    """What is worth an entry."""

    def login_refused(self, refusal: Refusal) -> None: ...

    def account_changed(self, change: AccountChange) -> None: ...


class NoAudit:
    """The off switch."""

    def login_refused(self, refusal: Refusal) -> None:
        """Goes unwritten."""

    def account_changed(self, change: AccountChange) -> None:
        """Goes unwritten."""


class LineSink(Protocol):
    """Takes finished lines, without waiting."""

    @property
    def written(self) -> int:
        """How many lines have reached their end."""
        ...

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        ...

    def write(self, line: str) -> None: ...

    def close(self) -> None: ...


class AuditLog:
    """Makes lines of entries; a storm of refused logins becomes a few that count.

    Belongs to one event loop.
    """

    def __init__(
        self,
        sink: LineSink,
        storms: StormCounter,
        *,
        service: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._storms = storms
        self._service = service
        self._wall_clock = wall_clock

    @classmethod
    def open(cls, settings: AuditSettings, service: str) -> "AuditLog | None":
        """As configured; None when it is off. Raises ConfigurationError."""
        if settings.output == OFF:
            return None
        target = StandardOutput() if settings.output == STDOUT else RotatedFile(settings.output)
        writer = LineWriter(
            target,
            limit=settings.queue,
            about_dropped=lambda count: _line(
                "lines_dropped", time.time(), service=service, count=count
            ),
        )
        storms = StormCounter(window_seconds=settings.window, max_groups=settings.max_groups)
        return cls(writer, storms, service=service)

    def lines(self) -> dict[str, int]:
        """How many lines were written, and how many were lost."""
        return {"written": self._sink.written, "dropped": self._sink.dropped}

    def login_refused(self, refusal: Refusal) -> None:
        told = self._storms.record(
            Refusal(_cut(refusal.user), refusal.address, refusal.reason), self._wall_clock()
        )
        if told is not None:
            self._tell((told,))

    def account_changed(self, change: AccountChange) -> None:
        self._sink.write(
            _line(
                "account_change",
                self._wall_clock(),
                service=self._service,
                action=change.action,
                target=_cut(change.target),
                actor=_cut(change.actor),
                address=change.address,
                fields=list(change.fields),
                outcome=change.outcome,
                revision=change.revision,
            )
        )

    async def run(self) -> None:
        """Writes counts when their windows are over, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._tell(self._storms.expired(self._wall_clock()))

    def close(self) -> None:
        """Writes what was counted and waits, for a few seconds at most, until it is out."""
        self._tell(self._storms.rest(self._wall_clock()))
        self._sink.close()

    def _tell(self, counts: Iterable[Counted]) -> None:
        for counted in counts:
            self._sink.write(
                _line(
                    "login_refused",
                    counted.last,
                    service=self._service,
                    user=counted.refusal.user,
                    address=counted.refusal.address,
                    reason=counted.refusal.reason,
                    scope=counted.scope,
                    count=counted.count,
                    since=_timestamp(counted.first),
                )
            )


@contextmanager
def recorded(audit: Audit, change: AccountChange) -> Iterator[AccountChange]:
    """Writes the change down when it is over, with what became of it."""
    try:
        yield change
    except VecguardError as error:
        change.outcome = error.reason
        raise
    except asyncio.CancelledError:
        change.outcome = ABANDONED
        raise
    except Exception:
        change.outcome = _BUG
        raise
    finally:
        audit.account_changed(change)


def _line(event: str, at: float, *, service: str, **entry: Any) -> str:
    head = {"timestamp": _timestamp(at), "event": event, "service": service, "pid": os.getpid()}
    # Printable ASCII only, so that no name steers a terminal. JSON itself allows DEL.
    line = json.dumps(head | entry, ensure_ascii=True, separators=(",", ":"))
    return line.replace("\x7f", "\\u007f")


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _cut(name: str | None) -> str | None:
    return None if name is None else name[:MAX_NAME]
