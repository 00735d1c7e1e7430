import asyncio
import json

import pytest

from tests.support.audit_schema import violations
from tests.support.credentials import ManualClock
from tests.support.waiting import eventually
from vecguard.config.audit import AuditSettings
from vecguard.errors import UnavailableError
from vecguard.proxy.audit.audit_log import (
    AccountChange,
    Action,
    AuditLog,
    NoAudit,
    RoleFields,
    recorded,
)
from vecguard.proxy.audit.event_aggregation import EventAggregator, Refusal, RefusedCall


class Lines:
    def __init__(self):
        self.written = []
        self.closed = False

    def write(self, line):
        assert not self.closed
        self.written.append(line)

    def close(self):
        self.closed = True

    @property
    def entries(self):
        return [json.loads(line) for line in self.written]


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000.25)


@pytest.fixture
def audit(lines, clock):
    aggregators = [EventAggregator(window_seconds=60, max_groups=10) for _ in range(3)]
    return AuditLog(lines, *aggregators, service="proxy", wall_clock=clock)


def refusal(user="bob", address="192.0.2.1", reason="wrong_credentials"):
    return Refusal(user, address, reason)


def without_pid(entry):
    return {name: value for name, value in entry.items() if name != "pid"}


def test_a_refused_login_is_one_line(audit, lines):
    audit.login_refused(refusal())
    assert violations(lines.written[0]) == []
    assert [without_pid(entry) for entry in lines.entries] == [
        {
            "timestamp": "2023-11-14T22:13:20.250+00:00",
            "event": "login_refused",
            "service": "proxy",
            "user": "bob",
            "address": "192.0.2.1",
            "reason": "wrong_credentials",
            "scope": "user",
            "count": 1,
            "since": "2023-11-14T22:13:20.250+00:00",
        }
    ]


def test_a_storm_is_counted_and_what_is_left_is_told_at_the_end(audit, lines):
    for _ in range(1000):
        audit.login_refused(refusal())
    assert len(lines.written) == 1
    audit.close()
    assert [entry["count"] for entry in lines.entries] == [1, 999]
    assert lines.closed


async def test_counts_are_written_when_their_window_is_over(audit, lines, clock, monkeypatch):
    monkeypatch.setattr("vecguard.proxy.audit.audit_log._TICK_SECONDS", 0.001)
    for _ in range(5):
        audit.login_refused(refusal())
    clock.now += 60
    running = asyncio.create_task(audit.run())

    async def the_count_is_written():
        return len(lines.written) == 2

    await eventually(the_count_is_written)
    running.cancel()
    await asyncio.wait([running])
    assert [entry["count"] for entry in lines.entries] == [1, 4]


@pytest.mark.parametrize(
    "name", ['"},\n{"event":"x"', "\x1b[2J", "\x7f", "\u202eevil", "\ud800", "ü"]
)
def test_a_name_breaks_neither_the_line_nor_a_terminal(audit, lines, name):
    audit.login_refused(refusal(user=name))
    assert lines.written[0].isascii()
    assert lines.written[0].isprintable()
    assert lines.entries[0]["user"] == name
    assert violations(lines.written[0]) == []


def test_a_name_is_cut(audit, lines):
    audit.login_refused(refusal(user="x" * 100_000))
    assert lines.entries[0]["user"] == "x" * 255


def test_the_names_of_a_refused_call_are_cut(audit, lines):
    long = "x" * 100_000
    audit.call_refused(RefusedCall(long, None, "/a.B/C", long, (long,), long))
    entry = lines.entries[0]
    assert [entry[key] for key in ("user", "privilege", "database")] == ["x" * 255] * 3
    assert entry["objects"] == ["x" * 255]


def test_a_change_of_roles_is_one_line(audit, lines):
    about = RoleFields(
        user="bob", privileges=("Search",), object_type="Collection", object="books", database="db"
    )
    change = AccountChange(Action.GRANT, "reader", "root", "192.0.2.1", about=about)
    with recorded(audit, change) as entry:
        entry.revision = 7
    assert violations(lines.written[0]) == []
    assert without_pid(lines.entries[0]) == {
        "timestamp": "2023-11-14T22:13:20.250+00:00",
        "event": "role_change",
        "service": "proxy",
        "action": "grant",
        "target": "reader",
        "actor": "root",
        "address": "192.0.2.1",
        "user": "bob",
        "privileges": ["Search"],
        "object_type": "Collection",
        "object": "books",
        "database": "db",
        "outcome": "applied",
        "revision": 7,
        "scope": "change",
        "count": 1,
        "since": "2023-11-14T22:13:20.250+00:00",
    }


def test_a_change_of_roles_stays_short(audit, lines):
    long = "é" * 10_000
    about = RoleFields(long, (long,) * 1000, long, long, long)
    audit.account_changed(AccountChange(Action.ADD_TO_GROUP, long, "root", None, about=about))
    assert violations(lines.written[0]) == []
    assert len(lines.written[0]) < 8000
    assert len(lines.entries[0]["privileges"]) == 5


def test_refused_changes_of_roles_are_counted_by_actor_and_then_by_outcome(audit, lines):
    for number in range(1000):
        about = RoleFields(user=f"user{number}")
        audit.account_changed(
            AccountChange(
                Action.GIVE_ROLE, "reader", "bob", None, outcome="user_not_found", about=about
            )
        )
    audit.close()
    assert len(lines.written) < 500
    assert sum(entry["count"] for entry in lines.entries) == 1000
    assert {entry["event"] for entry in lines.entries} == {"role_change"}
    assert not [line for line in lines.written if violations(line)]


def test_a_change_is_one_line_with_its_revision(audit, lines):
    change = AccountChange(Action.UPDATE, "bob", "root", "192.0.2.1", ("password",))
    with recorded(audit, change) as entry:
        entry.revision = 7
    assert violations(lines.written[0]) == []
    assert without_pid(lines.entries[0]) == {
        "timestamp": "2023-11-14T22:13:20.250+00:00",
        "event": "account_change",
        "service": "proxy",
        "action": "update_user",
        "target": "bob",
        "actor": "root",
        "address": "192.0.2.1",
        "fields": ["password"],
        "outcome": "applied",
        "revision": 7,
        "scope": "change",
        "count": 1,
        "since": "2023-11-14T22:13:20.250+00:00",
    }


def changed(audit, target="bob", actor="bob", outcome="applied", revision=None):
    audit.account_changed(
        AccountChange(Action.UPDATE, target, actor, "192.0.2.1", ("password",), outcome, revision)
    )


@pytest.mark.parametrize("outcome", ["applied", "wrong_old_password"])
def test_whoever_repeats_a_change_fills_no_disk(audit, lines, outcome):
    for revision in range(1, 1001):
        changed(audit, outcome=outcome, revision=revision)
    assert len(lines.written) == 1
    audit.close()
    assert [violations(line) for line in lines.written] == [[], []]
    assert [(entry["count"], entry["revision"]) for entry in lines.entries] == [(1, 1), (999, 1000)]


async def test_changes_are_counted_until_their_window_is_over(audit, lines, clock, monkeypatch):
    monkeypatch.setattr("vecguard.proxy.audit.audit_log._TICK_SECONDS", 0.001)
    for revision in (1, 2, 3):
        changed(audit, revision=revision)
    clock.now += 60
    running = asyncio.create_task(audit.run())

    async def the_count_is_written():
        return len(lines.written) == 2

    await eventually(the_count_is_written)
    running.cancel()
    await asyncio.wait([running])
    assert (lines.entries[1]["count"], lines.entries[1]["revision"]) == (2, 3)


def test_changes_that_differ_are_told_apart(audit, lines):
    changed(audit)
    changed(audit, target="eve")
    changed(audit, actor="root")
    changed(audit, outcome="unavailable")
    assert [entry["count"] for entry in lines.entries] == [1] * 4


def test_what_was_refused_with_too_many_targets_is_counted_by_actor_and_then_by_outcome(
    audit, lines
):
    for number in range(1000):
        changed(audit, target=f"user{number}", outcome="permission_denied")
    for number in range(1000):
        changed(audit, actor=f"mallory{number}", outcome="permission_denied")
    audit.close()
    assert len(lines.written) < 50
    assert sum(entry["count"] for entry in lines.entries) == 2000
    assert [violations(line) for line in lines.written if violations(line)] == []
    assert {entry["scope"] for entry in lines.entries} == {"change", "actor", "all"}
    assert {
        (entry["target"], entry["actor"]) for entry in lines.entries if entry["scope"] == "all"
    } == {(None, None)}


def test_the_account_of_a_change_that_was_made_is_always_named(audit, lines):
    for number in range(100):
        changed(audit, target=f"user{number}", actor="root", revision=number)
    assert [entry["target"] for entry in lines.entries] == [f"user{n}" for n in range(100)]
    audit.close()
    assert len(lines.written) == 100


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UnavailableError("away"), "unavailable"),
        (asyncio.CancelledError(), "abandoned"),
        (RuntimeError("bug"), "internal"),
    ],
)
def test_a_change_that_fails_is_written_with_its_reason_and_the_error_goes_on(
    audit, lines, error, outcome
):
    with (
        pytest.raises(type(error)),
        recorded(audit, AccountChange(Action.DELETE, "bob", None, None)),
    ):
        raise error
    assert lines.entries[0]["outcome"] == outcome
    assert violations(lines.written[0]) == []


def test_it_is_off_when_the_setting_says_so():
    assert isinstance(AuditLog.open(AuditSettings(output="off"), "proxy"), NoAudit)


def test_it_goes_to_the_file_that_the_setting_names(tmp_path):
    path = tmp_path / "audit.log"
    audit = AuditLog.open(AuditSettings(output=str(path)), "proxy")
    audit.login_refused(refusal())
    audit.close()
    assert [violations(line) for line in path.read_text().splitlines()] == [[]]


@pytest.mark.parametrize("character", ["x", "\x7f", "\0", "ü", "\U0001f600"])
def test_no_name_makes_a_line_of_more_than_two_kilobytes(audit, lines, character):
    audit.login_refused(refusal(user=character * 30_000))
    audit.account_changed(
        AccountChange(Action.DELETE, character * 30_000, "x" * 255, "2001:db8::1")
    )
    assert len(lines.written) == 2
    assert max(map(len, lines.written)) < 2100
