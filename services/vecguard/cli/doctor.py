"""`vecguard doctor`: says what is wrong, why, and what to do about it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import typer

from vecguard.addresses import Address
from vecguard.cli.configured_port import examine_configured_port
from vecguard.cli.connection import Connection, connected
from vecguard.cli.etcd_findings import examine_etcd
from vecguard.cli.exit_codes import ExitCode
from vecguard.cli.finding import Finding, Severity
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
from vecguard.cli.process_findings import judge_processes
from vecguard.cli.service_settings import ConfigOption, names_etcd, settings_of
from vecguard.cli.settings_findings import PUBLIC_FILES, examine_reach, judge_files, judge_settings
from vecguard.config import Settings
from vecguard.wording import counted

#: A part that takes longer counts as unreachable.
_LONGEST_WAIT_SECONDS: Final = 10.0
_ORDER: Final = (Severity.WRONG, Severity.WARNING, Severity.NOTE, Severity.GOOD)
_MARKS: Final = {
    Severity.WRONG: mark("wrong"),
    Severity.WARNING: mark("warning"),
    Severity.NOTE: mark("note"),
    Severity.GOOD: mark("good"),
}


@connected
def doctor(
    *,
    config: ConfigOption = None,
    operations: OperationsOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as wrong.")] = False,
    output: OutputOption = Output.TABLE,
    connection: Connection,
) -> None:
    """Say what is wrong and what to do. Exit code 1 if something is.

    Examines the public port and the operations ports; with --config also etcd, the TLS files and
    the parts that the file names. Without --config, VECGUARD__ variables do not count. It tries
    root's default password once.
    """
    with reporting_errors(output):
        findings = sorted(
            asyncio.run(_examine(connection, config, operations)),
            key=lambda finding: _ORDER.index(finding.severity),
        )
    harmful = (Severity.WRONG, Severity.WARNING) if strict else (Severity.WRONG,)
    wrong = any(finding.severity in harmful for finding in findings)
    if output is Output.JSON:
        print_json({"findings": [asdict(finding) for finding in findings]}, ok=not wrong)
    else:
        _print(findings)
    if wrong:
        raise typer.Exit(ExitCode.NEGATIVE)


async def _examine(
    connection: Connection, config: Path | None, operations: Sequence[str] | None
) -> list[Finding]:
    connection = replace(connection, timeout=min(connection.timeout, _LONGEST_WAIT_SECONDS))
    addresses = addresses_of(operations)
    settings = None if config is None else settings_of(config)
    looks = [
        examine_configured_port(connection, settings),
        _examine_processes(addresses, connection.timeout),
    ]
    if settings is not None:
        looks.append(_examine_installation(settings))
    # Not a TaskGroup, which groups errors: an unusable option must end the command by itself.
    at_port, *found = await asyncio.gather(*looks)
    return without_repetitions(at_port, [each for findings in found for each in findings])


def without_repetitions(at_port: Sequence[Finding], others: Sequence[Finding]) -> list[Finding]:
    """Joins the findings, without those about files that the public port's certificate repeats."""
    reported = {(each.severity, each.cause) for each in at_port}
    return [
        *at_port,
        *(
            each
            for each in others
            if each.part != PUBLIC_FILES or (each.severity, each.cause) not in reported
        ),
    ]


async def _examine_processes(addresses: Sequence[Address], timeout_seconds: float) -> list[Finding]:
    reports = await ask_processes(addresses, timeout_seconds=timeout_seconds, wall_clock=time.time)
    return list(judge_processes(reports))


async def _examine_installation(settings: Settings) -> list[Finding]:
    findings = [*judge_settings(settings), *judge_files(settings, time.time())]
    findings += await examine_reach(settings)
    if names_etcd(settings):
        findings += await examine_etcd(settings)
    return findings


def _print(findings: Sequence[Finding]) -> None:
    out = console()
    for finding in findings:
        out.print(
            f"{_MARKS[finding.severity]} [bold]{printable(finding.part)}[/bold]: "
            f"{printable(finding.cause)}"
        )
        if finding.remedy:
            out.print(f"    -> {printable(finding.remedy)}")
    counts = {each: sum(f.severity is each for f in findings) for each in _ORDER}
    out.print(
        f"{counts[Severity.WRONG]} wrong, "
        f"{counted(counts[Severity.WARNING], 'warning', 'warnings')}, "
        f"{counted(counts[Severity.NOTE], 'note', 'notes')}, "
        f"{counts[Severity.GOOD]} ok"
    )
