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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from vecguard.config.audit import OFF, STDOUT, AuditSettings
from vecguard.errors import VecguardError
from vecguard.proxy.audit.event_aggregation import Counted, Refusal, Scope, StormCounter
from vecguard.proxy.audit.line_writer import LineWriter, RotatedFile, StandardOutput

#: No store holds a longer name; what is longer was never meant as one.
MAX_NAME: Final = 255
# Of names with characters outside ASCII, which no store holds either. In JSON each takes up to 12
# bytes, and a line is to stay below some 2 KB.
_MAX_FOREIGN_NAME: Final = 100
_TICK_SECONDS: Final = 1.0
#: How long entries that are alike are counted before the count is written: a storm is a line or two
#: a minute for each kind, and an alert that reads counts comes a minute late at most.
WINDOW_SECONDS: Final = 60.0
#: Kinds of refusals, and as many of account changes, that are told apart in one window: a few
#: hundred lines a minute, whatever clients send.
MAX_GROUPS: Final = 200
#: Lines that may wait for a slow disk or reader, some 500 KiB: more than a storm makes in a minute.
MAX_QUEUED: Final = 1000

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


@dataclass(frozen=True, slots=True)
class _Change:
    """An account change as it is counted: those that differ in their revision only are alike."""

    action: Action
    target: str | None
    actor: str | None
    address: str | None
    fields: tuple[str, ...]
    outcome: str
    revision: int | None = field(default=None, compare=False)

    def levels(self) -> Iterator[tuple[Scope, "_Change"]]:
        yield Scope.CHANGE, self
        # Whose account was changed is never left out.
        if self.outcome != APPLIED:
            of_actor = replace(self, target=None, fields=())
            yield Scope.ACTOR, of_actor
            yield Scope.ALL, replace(of_actor, actor=None, address=None)


class Audit(Protocol):
    """What is worth an entry."""

    def login_refused(self, refusal: Refusal) -> None: ...

    def account_changed(self, change: AccountChange) -> None: ...


class NoAudit:
    """The log of a proxy whose audit is off."""

    def login_refused(self, refusal: Refusal) -> None:
        """Goes unwritten."""

    def account_changed(self, change: AccountChange) -> None:
        """Goes unwritten."""

    def lines(self) -> dict[str, int]:
        """There are none."""
        return {}

    async def run(self) -> None:
        """Returns at once: no count has to be written."""

    def close(self) -> None:
        """Does nothing."""


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
    """Makes lines of entries; a storm of entries that are alike becomes a few that count.

    Belongs to one event loop.
    """

    def __init__(
        self,
        sink: LineSink,
        storms: StormCounter[Refusal],
        changes: StormCounter[_Change],
        *,
        service: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._storms = storms
        self._changes = changes
        self._service = service
        self._wall_clock = wall_clock

    @classmethod
    def open(cls, settings: AuditSettings, service: str) -> "AuditLog | NoAudit":
        """As configured. Raises ConfigurationError when the file cannot be opened."""
        if settings.output == OFF:
            return NoAudit()
        target = StandardOutput() if settings.output == STDOUT else RotatedFile(settings.output)
        writer = LineWriter(
            target,
            limit=MAX_QUEUED,
            about_dropped=lambda count: _line(
                "lines_dropped", time.time(), service=service, count=count
            ),
        )
        return cls(
            writer,
            StormCounter(window_seconds=WINDOW_SECONDS, max_groups=MAX_GROUPS),
            StormCounter(window_seconds=WINDOW_SECONDS, max_groups=MAX_GROUPS),
            service=service,
        )

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
        told = self._changes.record(
            _Change(
                change.action,
                _cut(change.target),
                _cut(change.actor),
                change.address,
                change.fields,
                change.outcome,
                change.revision,
            ),
            self._wall_clock(),
        )
        if told is not None:
            self._tell_changes((told,))

    async def run(self) -> None:
        """Writes counts when their windows are over, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = self._wall_clock()
            self._tell(self._storms.expired(now))
            self._tell_changes(self._changes.expired(now))

    def close(self) -> None:
        """Writes what was counted and waits, for a few seconds at most, until it is out."""
        now = self._wall_clock()
        self._tell(self._storms.rest(now))
        self._tell_changes(self._changes.rest(now))
        self._sink.close()

    def _tell(self, counts: Iterable[Counted[Refusal]]) -> None:
        for counted in counts:
            refusal = counted.event
            self._write(
                "login_refused",
                counted,
                user=refusal.user,
                address=refusal.address,
                reason=refusal.reason,
            )

    def _tell_changes(self, counts: Iterable[Counted[_Change]]) -> None:
        for counted in counts:
            change = counted.event
            self._write(
                "account_change",
                counted,
                action=change.action,
                target=change.target,
                actor=change.actor,
                address=change.address,
                fields=list(change.fields),
                outcome=change.outcome,
                revision=change.revision,
            )

    def _write(self, event: str, counted: Counted[Any], **entry: Any) -> None:
        counts = {
            "scope": counted.scope,
            "count": counted.count,
            "since": _timestamp(counted.first),
        }
        self._sink.write(_line(event, counted.last, service=self._service, **entry, **counts))


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
    if name is None or name.isascii():
        return name and name[:MAX_NAME]
    return name[:_MAX_FOREIGN_NAME]
