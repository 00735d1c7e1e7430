"""The audit log: refused logins and calls, and changes of accounts and roles, as JSON lines.

docs/audit.md is its schema. User names are as clients sent them, cut and escaped. It
never gets a password, hash or token.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from vecguard.config.audit import OFF, STDOUT, AuditSettings
from vecguard.errors import VecguardError
from vecguard.proxy.audit.event_aggregation import (
    Counted,
    EventAggregator,
    Refusal,
    RefusedCall,
    Scope,
)
from vecguard.proxy.audit.line_writer import LineWriter, RotatedFile, StandardOutput

#: No store holds a longer name.
MAX_NAME: Final = 255
# For names with characters outside ASCII, which no store holds either. JSON takes up to 12 bytes
# for each character, and a line should stay below some 2 KB.
_MAX_FOREIGN_NAME: Final = 100
# Of the privileges of one change, the first ones are shown.
_MAX_PRIVILEGES: Final = 5
# Of the collections of one call, the first ones are shown.
_MAX_OBJECTS: Final = 5
_TICK_SECONDS: Final = 1.0
#: How long equal entries are counted before the count is written: a storm makes a line or two a
#: minute for each kind, and an alert that reads counts is a minute late at most.
WINDOW_SECONDS: Final = 60.0
#: The maximum number of groups of refusals in one window, and of groups of account changes: a few
#: hundred lines a minute, whatever clients send.
MAX_GROUPS: Final = 200
#: Lines that may wait for a slow disk or reader, some 500 KiB: more than a storm makes in a minute.
MAX_QUEUED: Final = 1000

APPLIED: Final = "applied"
#: There was nothing to do, such as a user to delete who does not exist.
UNCHANGED: Final = "unchanged"
#: The caller disconnected first; the change may have been made.
ABANDONED: Final = "abandoned"
_BUG: Final = "internal"


class Action(StrEnum):
    """The requested change."""

    CREATE = "create_user"
    UPDATE = "update_user"
    DELETE = "delete_user"
    CREATE_ROLE = "create_role"
    ALTER_ROLE = "alter_role"
    DROP_ROLE = "drop_role"
    GIVE_ROLE = "give_role"
    TAKE_ROLE = "take_role"
    GRANT = "grant"
    REVOKE = "revoke"
    CREATE_GROUP = "create_privilege_group"
    DROP_GROUP = "drop_privilege_group"
    ADD_TO_GROUP = "add_to_privilege_group"
    REMOVE_FROM_GROUP = "remove_from_privilege_group"
    RESTORE = "restore"
    DROP_COLLECTION = "drop_collection"
    RENAME_COLLECTION = "rename_collection"


@dataclass(frozen=True, slots=True)
class RoleFields:
    """What a change of roles is about, in addition to its target, the role or the group.

    Attributes:
        user: the user who gets or loses the role.
        privileges: what is granted, revoked, or changed in the group.
        object_type: the type of the object of a grant; None if the privilege decides it.
    """

    user: str | None = None
    privileges: tuple[str, ...] = ()
    object_type: str | None = None
    object: str | None = None
    database: str | None = None

    def cut(self) -> "RoleFields":
        """Returns the fields, cut so that a line stays short."""
        return RoleFields(
            _cut(self.user),
            tuple(_cut(name) or "" for name in self.privileges[:_MAX_PRIVILEGES]),
            _cut(self.object_type),
            _cut(self.object),
            _cut(self.database),
        )


@dataclass(slots=True)
class AccountChange:
    """A change of an account or of roles, with its actor and its origin.

    Attributes:
        target: the user, role or privilege group; None for a restored backup.
        actor: the user who asked for it; None where authorization is off.
        fields: the fields of a user to change: password, description.
        outcome: `applied`, `unchanged`, or the stable reason why not.
        revision: the revision of the change; None when there is none.
        about: more about a change of roles; None for a change of a user.
    """

    action: Action
    target: str | None
    actor: str | None
    address: str | None
    fields: tuple[str, ...] = ()
    outcome: str = APPLIED
    revision: int | None = None
    about: RoleFields | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    """The key by which account changes are counted: all but the revision."""

    action: Action
    target: str | None
    actor: str | None
    address: str | None
    fields: tuple[str, ...]
    about: RoleFields | None
    outcome: str
    revision: int | None = field(default=None, compare=False)

    def levels(self) -> Iterator[tuple[Scope, "_Change"]]:
        yield Scope.CHANGE, self
        # A change that was made always names its target, however many there are.
        if self.outcome != APPLIED:
            about = None if self.about is None else RoleFields()
            of_actor = replace(self, target=None, fields=(), about=about)
            yield Scope.ACTOR, of_actor
            yield Scope.ALL, replace(of_actor, actor=None, address=None)


class Audit(Protocol):
    """Takes the events that the audit log records."""

    def login_refused(self, refusal: Refusal) -> None: ...

    def call_refused(self, call: RefusedCall) -> None: ...

    def account_changed(self, change: AccountChange) -> None: ...


class NoAudit:
    """Records nothing, for a proxy whose audit log is off."""

    def login_refused(self, refusal: Refusal) -> None:
        """Does nothing."""

    def call_refused(self, call: RefusedCall) -> None:
        """Does nothing."""

    def account_changed(self, change: AccountChange) -> None:
        """Does nothing."""

    def lines(self) -> dict[str, int]:
        """Returns no counts."""
        return {}

    async def run(self) -> None:
        """Returns at once."""

    def close(self) -> None:
        """Does nothing."""


class LineSink(Protocol):
    """Accepts finished lines without blocking."""

    @property
    def written(self) -> int:
        """How many lines were written."""
        ...

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        ...

    def write(self, line: str) -> None: ...

    def close(self) -> None: ...


class AuditLog:
    """Writes events as lines; repeated equal events become a few lines with counts.

    Belongs to one event loop.
    """

    def __init__(
        self,
        sink: LineSink,
        refusals: EventAggregator[Refusal],
        calls: EventAggregator[RefusedCall],
        changes: EventAggregator[_Change],
        *,
        service: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._refusals = refusals
        self._calls = calls
        self._changes = changes
        self._service = service
        self._wall_clock = wall_clock

    @classmethod
    def open(cls, settings: AuditSettings, service: str) -> "AuditLog | NoAudit":
        """Opens the configured log. Raises ConfigurationError if the file cannot be opened."""
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
            EventAggregator(window_seconds=WINDOW_SECONDS, max_groups=MAX_GROUPS),
            EventAggregator(window_seconds=WINDOW_SECONDS, max_groups=MAX_GROUPS),
            EventAggregator(window_seconds=WINDOW_SECONDS, max_groups=MAX_GROUPS),
            service=service,
        )

    def lines(self) -> dict[str, int]:
        """Returns how many lines were written, and how many were dropped."""
        return {"written": self._sink.written, "dropped": self._sink.dropped}

    def login_refused(self, refusal: Refusal) -> None:
        counted = self._refusals.record(
            Refusal(_cut(refusal.user), refusal.address, refusal.reason), self._wall_clock()
        )
        if counted is not None:
            self._write_refusals((counted,))

    def call_refused(self, call: RefusedCall) -> None:
        objects = call.objects
        if objects is not None:
            objects = tuple(_cut(name) or "" for name in objects[:_MAX_OBJECTS])
        cut = replace(
            call,
            user=_cut(call.user),
            privilege=_cut(call.privilege),
            objects=objects,
            database=_cut(call.database),
        )
        counted = self._calls.record(cut, self._wall_clock())
        if counted is not None:
            self._write_calls((counted,))

    def account_changed(self, change: AccountChange) -> None:
        counted = self._changes.record(
            _Change(
                change.action,
                _cut(change.target),
                _cut(change.actor),
                change.address,
                change.fields,
                change.about and change.about.cut(),
                change.outcome,
                change.revision,
            ),
            self._wall_clock(),
        )
        if counted is not None:
            self._write_changes((counted,))

    async def run(self) -> None:
        """Writes the counts of each window at its end, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = self._wall_clock()
            self._write_refusals(self._refusals.expired(now))
            self._write_calls(self._calls.expired(now))
            self._write_changes(self._changes.expired(now))

    def close(self) -> None:
        """Writes all pending counts. Blocks until they are written, a few seconds at most."""
        now = self._wall_clock()
        self._write_refusals(self._refusals.rest(now))
        self._write_calls(self._calls.rest(now))
        self._write_changes(self._changes.rest(now))
        self._sink.close()

    def _write_refusals(self, counts: Iterable[Counted[Refusal]]) -> None:
        for counted in counts:
            refusal = counted.event
            self._write(
                "login_refused",
                counted,
                user=refusal.user,
                address=refusal.address,
                reason=refusal.reason,
            )

    def _write_calls(self, counts: Iterable[Counted[RefusedCall]]) -> None:
        for counted in counts:
            self._write("call_refused", counted, **asdict(counted.event))

    def _write_changes(self, counts: Iterable[Counted[_Change]]) -> None:
        for counted in counts:
            change = counted.event
            about: dict[str, Any] = {"fields": list(change.fields)}
            if change.about is not None:
                about = asdict(change.about)
            self._write(
                "account_change" if change.about is None else "role_change",
                counted,
                action=change.action,
                target=change.target,
                actor=change.actor,
                address=change.address,
                **about,
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
    """Records the change at the end of the context, with its outcome."""
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
    # Printable ASCII only, so that a name cannot control a terminal. JSON itself allows DEL.
    line = json.dumps(head | entry, ensure_ascii=True, separators=(",", ":"))
    return line.replace("\x7f", "\\u007f")


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _cut(name: str | None) -> str | None:
    if name is None or name.isascii():
        return name and name[:MAX_NAME]
    return name[:_MAX_FOREIGN_NAME]
