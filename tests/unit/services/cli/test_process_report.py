import io
import json

import pytest
from rich.console import Console

from tests.unit.services.cli.reports import NOW, health, metrics, proxy, root_coord
from vecguard.cli.process_report import NoReportError, ProcessReport, newest_active, read_report
from vecguard.cli.status import as_json, print_processes, problems, summary
from vecguard.wording import duration


def test_a_proxy_tells_its_mode_its_lease_and_its_certificates():
    report = proxy("p:9091")
    assert report.state == "ready"
    assert report.version == "1.2.3"
    assert report.revocation == "strict"
    assert report.authorization is True
    assert [(c.link, c.expires_seconds, c.problem) for c in report.certificates] == [
        ("public", 90 * 86_400, "")
    ]
    assert summary(report) == "strict revocation, lease 8.5 s, session with root coord at rc:53100"


def test_of_several_workers_the_one_with_the_shortest_lease_counts():
    assert proxy("p:9091").lease_seconds == 8.5


def test_a_standby_is_as_ready_as_it_gets():
    report = root_coord("a:1", active=False)
    assert report.state == "standby"
    assert (report.term, report.sessions, report.leases) == (None, None, None)
    assert list(problems([report, root_coord("b:1", active=True, term=3)])) == []


def test_a_root_coord_with_another_failure_is_no_standby():
    report = read_report(
        "a:1",
        health(role=(False, True, "standby"), disk=(False, True, "full")),
        metrics("root_coord"),
        date=None,
        now=NOW,
    )
    assert report.state == "not_ready"


def test_problems_name_what_is_not_ready_or_does_not_answer():
    refusing = proxy("p:1", logins=(False, True, "no lease"))
    found = list(problems([refusing, ProcessReport("q:1", "Connection refused")]))
    assert found == [
        "p:1 is not ready: logins: no lease",
        "q:1 does not answer: Connection refused",
    ]


def test_no_active_root_coord_is_a_problem_only_where_root_coords_were_asked():
    assert list(problems([root_coord("a:1", active=False)])) == [
        "no root coord that was asked is active"
    ]
    assert list(problems([proxy("p:1")])) == []


def test_of_two_that_say_they_are_active_the_newer_term_is():
    older = root_coord("a:1", active=True, term=3)
    newer = root_coord("b:1", active=True, term=7)
    assert newest_active([newer, older]) is newer
    assert newest_active([older, newer]) is newer
    assert len(list(problems([older, newer]))) == 1
    assert newest_active([root_coord("c:1", active=False)]) is None


def test_the_json_holds_every_documented_key():
    reports = [
        root_coord("a:1", active=True, term=7, sessions=2, leases=1),
        ProcessReport("q:1", "Connection refused"),
    ]
    answer = as_json(reports, ["something"], NOW)
    assert answer["active_root_coord"] == "a:1"
    assert answer["problems"] == ["something"]
    first, second = answer["processes"]
    assert first["uptime_seconds"] == 7200
    assert (first["term"], first["proxies_connected"], first["leases"]) == (7, 2, 1)
    assert first.keys() == second.keys()
    assert second["state"] == "unreachable"
    assert second["error"] == "Connection refused"
    json.dumps(answer, allow_nan=False)


def test_a_clock_that_was_set_back_after_the_start_gives_no_negative_time():
    report, before = root_coord("a:1", active=True, term=3), NOW - 86_400
    assert as_json([report], [], before)["processes"][0]["uptime_seconds"] == 0
    shown = io.StringIO()
    print_processes(Console(file=shown, width=200), [report], before)
    assert " 0 s " in shown.getvalue()


def test_a_clock_is_compared_by_the_date_of_the_answer():
    report = read_report(
        "p:1",
        health(),
        metrics("proxy"),
        date="Fri, 15 Jan 2027 08:01:40 GMT",
        now=NOW,
    )
    assert report.clock_ahead_seconds == 100
    broken = read_report("p:1", health(), metrics("proxy"), date="yesterday", now=NOW)
    assert broken.clock_ahead_seconds is None


@pytest.mark.parametrize(
    ("body", "samples"),
    [
        (b"<html>", metrics("proxy")),
        (b"[]", metrics("proxy")),
        (b'{"health":"true"}', metrics("proxy")),
        (b'{"checks":{"a":{}}}', metrics("proxy")),
        (health(), b""),
        (health(), b"<html>"),
        (health(), b"\xff"),
        (health(), b"process_open_fds 3.0\n"),
    ],
)
def test_what_is_no_report_is_refused(body, samples):
    with pytest.raises(NoReportError, match="is it"):
        read_report("p:1", body, samples, date=None, now=NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86_400 * 3, "3 d"), (-90, "-2 min")],
)
def test_a_duration_is_told_in_its_largest_unit(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("sessions", "text"),
    [
        (0, "active, term 7, 0 proxies connected, 0 with a lease"),
        (1, "active, term 7, 1 proxy connected, 1 with a lease"),
        (2, "active, term 7, 2 proxies connected, 2 with a lease"),
    ],
)
def test_proxies_are_counted_as_people_count(sessions, text):
    assert summary(root_coord("a:1", active=True, term=7, sessions=sessions, leases=sessions)) == (
        text
    )


def printed(width: int) -> list[str]:
    reports = [
        root_coord("10.244.12.123:9092", active=True, term=7, sessions=1, leases=1),
        proxy("10.244.12.125:9091"),
        ProcessReport("10.244.12.126:9091", "Connection refused"),
    ]
    return shown(reports, width)


def shown(reports, width):
    out = Console(file=io.StringIO(), width=width, soft_wrap=True, highlight=False)
    print_processes(out, reports, NOW)
    return out.file.getvalue().splitlines()


def test_a_wide_terminal_has_a_table():
    heading, *rows = (line.rstrip() for line in printed(150))
    assert heading.split() == ["process", "address", "state", "up", "details"]
    # A row of two lines for each process that answers: what it does, and its certificates.
    assert [row[:1] for row in rows] == ["✓", " ", "✓", " ", "✗"]
    assert rows[1].split() == ["no", "TLS"]
    assert rows[3].strip() == "certificates: public 90 d"


def test_an_installation_of_two_root_coords_and_three_proxies_is_a_table_at_100_columns():
    reports = [
        root_coord("10.244.12.123:9092", active=True, term=7, sessions=3, leases=3),
        root_coord("10.244.12.124:9092", active=False),
        *(proxy(f"10.244.12.{number}:9091") for number in (125, 126, 127)),
    ]
    lines = shown(reports, 100)
    assert lines[0].split() == ["process", "address", "state", "up", "details"]
    assert max(map(len, lines)) <= 100
    start = lines[0].index("details")
    details = " ".join(" ".join(line[start:].split()) for line in lines)
    for report in reports:
        assert sum(f" {report.address} " in line for line in lines) == 1
        assert summary(report) in details
    assert details.count("certificates: public 90 d") == 3
    assert "…" not in "".join(lines)


def test_a_narrow_terminal_has_a_few_whole_lines_for_each_process():
    assert [line.rstrip() for line in printed(80)] == [
        "✓ root coord 10.244.12.123:9092: ready, up 2 h",
        "    active, term 7, 1 proxy connected, 1 with a lease",
        "    no TLS",
        "✓ proxy 10.244.12.125:9091: ready",
        "    strict revocation, lease 8.5 s, session with root coord at rc:53100",
        "    certificates: public 90 d",
        "✗ ? 10.244.12.126:9091: unreachable",
        "    Connection refused",
    ]
    assert max(map(len, printed(60))) <= 60
