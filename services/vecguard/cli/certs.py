"""`vecguard certs`: makes certificates, and explains existing ones."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from vecguard.cli.certificate_check import Finding, check_set
from vecguard.cli.certificate_files import FileSet, sets_in
from vecguard.cli.certificate_renewal import Renewal, add_client, renew_expiring
from vecguard.cli.command import Command, group
from vecguard.cli.connection import require_name
from vecguard.cli.exit_codes import ExitCode
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
from vecguard.tls.validity import WARN_BEFORE_SECONDS

#: What doctor and the logs warn about.
_WITHIN_DAYS = round(WARN_BEFORE_SECONDS / 86_400)

app = group("Make, renew and check TLS certificates.")

#: The directory that docs/tls.md uses.
DEFAULT_DIRECTORY = Path("certs")

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIRECTORY", help="The directory of the files.")
]
_MAX_DAYS: Final = 36_500

DaysOption = Annotated[
    int, typer.Option(min=1, max=_MAX_DAYS, metavar="DAYS", help="How long certificates are valid.")
]


@app.command(cls=Command)
def init(
    *,
    directory: DirectoryArgument = DEFAULT_DIRECTORY,
    san: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What clients connect to: host, address, DNS:host, IP:address or URI:... "
            f"May be repeated. Default: {', '.join(LOOPBACK_NAMES)}.",
        ),
    ] = None,
    internal_san: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Names of root coord for proxies, and of etcd for root coord, in addition "
            "to the loopback. May be repeated.",
        ),
    ] = None,
    client_name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Common name of the client; a user with tls.userFromCertificate."
        ),
    ] = "client",
    days: DaysOption = 365,
    ca_days: Annotated[
        int, typer.Option(min=1, max=_MAX_DAYS, metavar="DAYS", help="How long the CAs are valid.")
    ] = 3650,
    key_type: Annotated[
        KeyKind, typer.Option(metavar="ec|rsa", help="EC P-256 or RSA 2048.")
    ] = KeyKind.EC,
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
            print_json({"files": _listed(directory, files)})
        else:
            _print_files(directory, files)
            console().print(
                "Keep ca.key and internal-ca.key offline: anyone who has one can issue "
                "certificates. Check the files with: vecguard certs check "
                f"{printable(str(directory))}"
            )


@app.command(cls=Command)
def client(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Common name; the user's name where tls.userFromCertificate is CN.",
            callback=require_name,
        ),
    ],
    directory: DirectoryArgument = DEFAULT_DIRECTORY,
    san: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Alternative name, DNS:host or URI:..., where tls.userFromCertificate reads "
            "one. May be repeated.",
        ),
    ] = None,
    days: DaysOption = 365,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a certificate for a further client, signed by the CA of the public port.

    Needs ca.pem and ca.key in the directory; writes client-NAME.pem and client-NAME.key.
    """
    with reporting_errors(output):
        files = add_client(directory, name, names=san or (), days=days, now=datetime.now(UTC))
    with report_of_change():
        if output is Output.JSON:
            print_json({"files": _listed(directory, files)})
        else:
            _print_files(directory, files)


@app.command(cls=Command)
def renew(
    *,
    directory: DirectoryArgument = DEFAULT_DIRECTORY,
    within: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MAX_DAYS,
            metavar="DAYS",
            help=f"Renew what expires within so many days; {_MAX_DAYS} renews all.",
        ),
    ] = _WITHIN_DAYS,
    days: DaysOption = 365,
    output: OutputOption = Output.TABLE,
) -> None:
    """Renew the certificates that expire soon, and say what expires when.

    Needs the key of the CA that issued a certificate in the directory; it renews what it can and
    names the key file that is missing. It renews the certificate of every client whose file is in
    the directory: delete the file to let the certificate expire. Names, usage and private keys stay
    the same. Running services load the new files by themselves. Exit code 1 if a certificate is due
    and cannot be renewed. If a CA's key does not fit or a CA expires too soon, nothing is renewed.
    """
    with reporting_errors(output):
        now = datetime.now(UTC)
        done = renew_expiring(directory, within=timedelta(days=within), days=days, now=now)
    with report_of_change():
        if output is Output.JSON:
            print_json({"certificates": [_renewal(each) for each in done]}, ok=not _failed(done))
        else:
            _print_renewals(done)
    if _failed(done):
        raise typer.Exit(ExitCode.NEGATIVE)


def _failed(done: Sequence[Renewal]) -> bool:
    return any(each.problem for each in done)


def _renewal(each: Renewal) -> dict[str, Any]:
    return {
        "path": str(each.path),
        "name": each.name,
        "renewed": each.renewed,
        "expires": None if each.expires is None else each.expires.isoformat(),
        "problem": each.problem or None,
    }


def _print_renewals(done: Sequence[Renewal]) -> None:
    out = console()
    for each in done:
        sign = mark("wrong" if each.problem else "good" if each.renewed else "note")
        if each.renewed:
            text = f"renewed, expires {_day(each.expires)} (before: {_day(each.expired)})"
        elif each.expires is None:
            text = "not renewed"
        else:
            text = f"{'not renewed' if each.problem else 'kept'}, expires {_day(each.expires)}"
        named = f" ({each.name})" if each.name else ""
        out.print(f"{sign} {printable(str(each.path))}{printable(named)}: {text}")
        if each.problem:
            out.print(f"    {printable(each.problem)}")


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def _listed(directory: Path, files: Sequence[SetFile]) -> list[dict[str, str]]:
    return [
        {
            "path": str(directory / file.name),
            "purpose": file.purpose,
            "setting": file.setting,
            "mode": f"{file.mode:04o}",
        }
        for file in files
    ]


@app.command(cls=Command)
def check(
    *,
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIRECTORY", help="A directory of `certs init`, or a mounted TLS secret."
        ),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the CAs.")] = None,
    cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the certificate.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="File with its key.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="HOST", help="Host that clients connect to.")
    ] = None,
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
        raise typer.Exit(ExitCode.NEGATIVE)


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


def _print_sets(sets: Sequence[tuple[FileSet, Sequence[Finding]]]) -> None:
    out = console()
    for files, findings in sets:
        out.print(f"[bold]{printable(files.title)}[/bold]")
        for finding in findings:
            line = f"  {mark(finding.result.value)} {finding.check}: {printable(finding.detail)}"
            out.print(line)
            if finding.advice:
                out.print(f"    -> {printable(finding.advice)}")
