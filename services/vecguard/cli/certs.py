"""`vecguard certs`: makes certificates, and explains existing ones."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vecguard.cli.certificate_check import Finding, check_set
from vecguard.cli.certificate_files import FileSet, sets_in
from vecguard.cli.command import Command
from vecguard.cli.finding import Severity
from vecguard.cli.output import (
    Output,
    OutputOption,
    console,
    mark,
    print_json,
    printable,
    report_of_change,
    reporting_errors,
)
from vecguard.tls.authority import KeyKind
from vecguard.tls.certificate_set import LOOPBACK_NAMES, SetFile, SetRequest, make_set, write_files

app = typer.Typer(no_args_is_help=True, help="Make and check TLS certificates.")


@app.command(cls=Command)
def init(
    *,
    directory: Annotated[Path, typer.Argument(help="Where to write; made if it is missing.")],
    san: Annotated[
        list[str] | None,
        typer.Option(
            help="What clients dial: host, address, DNS:host, IP:address or URI:... "
            f"May be repeated. Default: {', '.join(LOOPBACK_NAMES)}."
        ),
    ] = None,
    internal_san: Annotated[
        list[str] | None,
        typer.Option(
            help="What proxies dial for root coord, and root coord for etcd, "
            "beside the loopback. May be repeated."
        ),
    ] = None,
    client_name: Annotated[
        str, typer.Option(help="Common name of the client; a user with tls.userFromCertificate.")
    ] = "client",
    days: Annotated[int, typer.Option(min=1, help="How long certificates last.")] = 365,
    ca_days: Annotated[int, typer.Option(min=1, help="How long the CAs last.")] = 3650,
    key_type: Annotated[KeyKind, typer.Option(help="EC P-256 or RSA 2048.")] = KeyKind.EC,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that exist, the CAs too.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make two CAs and the certificates of every link: clients, root coord, etcd."""
    request = SetRequest(
        server_names=tuple(san or LOOPBACK_NAMES),
        internal_names=tuple(internal_san or ()),
        client_name=client_name,
        days=days,
        authority_days=ca_days,
        key_kind=key_type,
    )
    with reporting_errors(output):
        files = make_set(request, datetime.now(UTC))
        write_files(directory, files, replace=force)
    with report_of_change():
        if output is Output.JSON:
            listing = [
                {
                    "path": str(directory / file.name),
                    "purpose": file.purpose,
                    "setting": file.setting,
                    "mode": f"{file.mode:04o}",
                }
                for file in files
            ]
            print_json({"files": listing})
        else:
            _print_files(directory, files)


@app.command(cls=Command)
def check(
    *,
    directory: Annotated[
        Path | None, typer.Argument(help="A directory of `certs init`, or a mounted TLS secret.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="File with the CAs.")] = None,
    cert: Annotated[Path | None, typer.Option(help="File with the certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="File with its key.")] = None,
    name: Annotated[str | None, typer.Option(help="Host that clients dial.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Explain a set of files: chain, names, dates, key. Exit code 1 if something is wrong."""
    now = time.time()
    sets = [(each, tuple(check_set(each, now))) for each in _sets(directory, ca, cert, key, name)]
    findings = [finding for _, found in sets for finding in found]
    wrong = any(finding.result is Severity.WRONG for finding in findings)
    if output is Output.JSON:
        listing = [asdict(f) | {"result": f.result.value} for f in findings]
        print_json({"findings": listing}, ok=not wrong)
    else:
        _print_sets(sets)
    if wrong:
        raise typer.Exit(1)


def _sets(
    directory: Path | None, ca: Path | None, cert: Path | None, key: Path | None, name: str | None
) -> Sequence[FileSet]:
    if directory is None:
        if ca is None and cert is None and key is None:
            raise typer.BadParameter("name a directory, or files by --ca, --cert and --key")
        if name is not None and cert is None:
            raise typer.BadParameter("--name needs --cert: names stand in a certificate")
        return (FileSet(cert, key, ca, name),)
    if ca or cert or key or name:
        raise typer.BadParameter("give a directory or single files, not both")
    if not directory.is_dir():
        raise typer.BadParameter(f"{directory} is not a directory")
    sets = sets_in(directory)
    if not sets:
        raise typer.BadParameter(f"{directory} holds neither *.pem nor tls.crt")
    return sets


def _print_files(directory: Path, files: Sequence[SetFile]) -> None:
    out = console()
    table = Table(title=f"Written to {printable(str(directory))}")
    for heading in ("file", "for", "setting"):
        # A name that is cut off cannot be copied.
        table.add_column(heading, overflow="fold")
    for file in files:
        table.add_row(file.name, file.purpose, file.setting)
    out.print(table)
    out.print(
        "Keep ca.key and internal-ca.key offline: whoever has one can issue certificates. "
        f"Look at the files with: vecguard certs check {printable(str(directory))}"
    )


def _print_sets(sets: Sequence[tuple[FileSet, Sequence[Finding]]]) -> None:
    out = console()
    for files, findings in sets:
        out.print(f"[bold]{printable(files.title)}[/bold]")
        for finding in findings:
            line = f"  {mark(finding.result.value)} {finding.check}: {printable(finding.detail)}"
            out.print(line)
            if finding.advice:
                out.print(f"    -> {printable(finding.advice)}")
