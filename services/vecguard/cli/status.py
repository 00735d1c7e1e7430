"""`vecguard status`: shows who is active, who is connected, and what is wrong."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from vecguard.cli.connection import MAX_TIMEOUT_SECONDS
from vecguard.cli.exit_codes import ExitCode
from vecguard.cli.operations import OperationsOption, addresses_of, ask_processes
from vecguard.cli.output import (
    Output,
    OutputOption,
    console,
    mark,
    print_json,
    printable,
    reporting_errors,
)
from vecguard.cli.process_report import Certificate, ProcessReport, State, newest_active
from vecguard.wording import counted, duration

TimeoutOption = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=MAX_TIMEOUT_SECONDS,
        envvar="VECGUARD_TIMEOUT",
        metavar="SECONDS",
        help="How long to wait for each process.",
        rich_help_panel="Processes",
    ),
]

_MARKS: dict[State, str] = {
    "ready": "good",
    "standby": "good",
    "not_ready": "wrong",
    "unreachable": "wrong",
}
#: In characters: the space between columns, and the minimum width of the details.
_GAP: Final = 2
_LEAST_FOR_DETAILS: Final = 40


def status(
    *,
    operations: OperationsOption = None,
    output: OutputOption = Output.TABLE,
    timeout: TimeoutOption = 5.0,
) -> None:
    """Show who is active, proxies connected, leases, mode and certificates.

    Exit code 1 if something is wrong, 3 if no process answers.
    """
    with reporting_errors(output):
        reports = asyncio.run(
            ask_processes(addresses_of(operations), timeout_seconds=timeout, wall_clock=time.time)
        )
    now = time.time()
    wrong = list(problems(reports))
    if output is Output.JSON:
        print_json(as_json(reports, wrong, now), ok=not wrong)
    else:
        _print(reports, wrong, now)
    if all(report.state == "unreachable" for report in reports):
        raise typer.Exit(ExitCode.UNREACHABLE)
    if wrong:
        raise typer.Exit(ExitCode.NEGATIVE)


def problems(reports: Sequence[ProcessReport]) -> Iterator[str]:
    """Yields one sentence for each thing that is wrong."""
    for report in reports:
        if report.error is not None:
            yield f"{report.address} does not answer: {report.error}"
        elif report.state == "not_ready":
            for check in report.checks:
                if check.critical and not check.healthy:
                    yield f"{report.address} is not ready: {check.name}: {check.message}"
    root_coords = [report for report in reports if report.is_root_coord]
    active = [report for report in root_coords if report.is_active]
    if root_coords and not active:
        yield "no root coord that was asked is active"
    if len(active) > 1:
        yield (
            f"{len(active)} root coords say that they are active; "
            "the one with the highest term is, the others cannot write any more"
        )


def as_json(reports: Sequence[ProcessReport], wrong: Sequence[str], now: float) -> dict[str, Any]:
    """Returns the answer for programs. docs/cli.md documents its shape, which must not change."""
    active = newest_active(reports)
    return {
        "active_root_coord": active.address if active else None,
        "problems": list(wrong),
        "processes": [_process(report, now) for report in reports],
    }


def _process(report: ProcessReport, now: float) -> dict[str, Any]:
    started = report.started_seconds()
    unhealthy = [check for check in report.checks if not check.healthy]
    return {
        "address": report.address,
        "service": report.service,
        "state": report.state,
        "error": report.error,
        "version": report.version,
        "uptime_seconds": None if started is None else max(0.0, now - started),
        "active": report.is_active if report.is_root_coord else None,
        "term": report.term,
        "proxies_connected": report.sessions,
        "leases": report.leases,
        "invalidations_pending": report.pending,
        "authorization": report.authorization,
        "revocation": report.revocation,
        "lease_seconds": report.lease_seconds,
        "certificates": [
            {
                "link": certificate.link,
                "expires_seconds": certificate.expires_seconds,
                "problem": certificate.problem or None,
            }
            for certificate in report.certificates
        ],
        "failures": [f"{c.name}: {c.message}" for c in unhealthy if c.critical],
        "warnings": [f"{c.name}: {c.message}" for c in unhealthy if not c.critical],
    }


def summary(report: ProcessReport) -> str:
    """Returns one line about what a process is doing."""
    if report.error is not None:
        return report.error
    if report.is_root_coord:
        return _root_coord_summary(report)
    parts = []
    if report.authorization is False:
        parts.append("authorization OFF")
    if report.revocation is not None:
        parts.append(f"{report.revocation} revocation")
    if report.lease_seconds is not None:
        parts.append(_lease(report.lease_seconds))
    parts.append(report.message_of("root_coord"))
    return ", ".join(part for part in parts if part)


def _root_coord_summary(report: ProcessReport) -> str:
    if not report.is_active:
        return report.message_of("role")
    connected = counted(report.sessions or 0, "proxy", "proxies")
    text = f"active, term {report.term}, {connected} connected, {report.leases} with a lease"
    if not report.pending:
        return text
    return f"{text}, {counted(report.pending, 'invalidation', 'invalidations')} pending"


def _lease(seconds: float) -> str:
    return f"lease {seconds:.1f} s" if seconds > 0 else "NO LEASE"


def _certificate(certificate: Certificate) -> str:
    if certificate.expires_seconds is None:
        text = f"{certificate.link} no certificate that expires"
    elif certificate.expires_seconds <= 0:
        text = f"{certificate.link} EXPIRED"
    else:
        text = f"{certificate.link} {duration(certificate.expires_seconds)}"
    return f"{text} (!)" if certificate.problem else text


@dataclass(frozen=True, slots=True)
class _Row:
    """One process in the table; the texts are rich's markup."""

    mark: str
    process: str
    address: str
    state: str
    up: str
    details: tuple[str, ...]


def _row(report: ProcessReport, now: float) -> _Row:
    started = report.started_seconds()
    certificates = ", ".join(map(_certificate, report.certificates))
    details = (
        summary(report),
        "" if report.error else f"certificates: {certificates}" if certificates else "no TLS",
    )
    return _Row(
        mark(_MARKS[report.state]),
        (report.service or "?").replace("_", " "),
        printable(report.address),
        report.state.replace("_", " "),
        "" if started is None else duration(max(0.0, now - started)),
        tuple(printable(each) for each in details if each),
    )


def print_processes(out: Console, reports: Sequence[ProcessReport], now: float) -> None:
    """Prints a table where the terminal is wide enough, otherwise a few lines for each process.

    Args:
        out: the console to print on.
        reports: the reports of the processes.
        now: our own wall clock, in seconds since the epoch.
    """
    rows = [_row(report, now) for report in reports]
    columns = zip(
        *((" ", row.process, row.address, row.state, row.up) for row in rows), strict=True
    )
    fixed = sum(max(map(len, column)) + _GAP for column in columns)
    if fixed + _LEAST_FOR_DETAILS <= out.width:
        # Cells wrap; nothing is cut.
        out.print(_table(rows), soft_wrap=False)
        return
    for row in rows:
        up = f", up {row.up}" if row.up else ""
        out.print(f"{row.mark} {row.process} {row.address}: {row.state}{up}")
        for detail in row.details:
            out.print(Padding(detail, (0, 0, 0, 4), expand=False), soft_wrap=False)


def _table(rows: Sequence[_Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for heading in ("", "process", "address", "state", "up"):
        table.add_column(heading, no_wrap=True)
    table.add_column("details", overflow="fold")
    for row in rows:
        table.add_row(
            *(row.mark, row.process, row.address, row.state, row.up, "\n".join(row.details))
        )
    return table


def _print(reports: Sequence[ProcessReport], wrong: Sequence[str], now: float) -> None:
    out = console()
    print_processes(out, reports, now)
    for report in reports:
        for check in report.checks:
            if not check.healthy and not check.critical:
                out.print(
                    f"{mark('warning')} {report.address}: {printable(check.name)}: "
                    f"{printable(check.message)}"
                )
    for problem in wrong:
        out.print(f"{mark('wrong')} {printable(problem)}")
    if (page := _page(reports)) is not None:
        out.print(f"status page for a browser: {printable(page)}")


def _page(reports: Sequence[ProcessReport]) -> str | None:
    """Returns the address of the page that shows most: that of the active root coord, if any."""
    answered = [report for report in reports if report.error is None]
    shown = newest_active(answered) or next(iter(answered), None)
    return None if shown is None else f"http://{shown.address}/"
