"""`vecguard root`: recovery from a lost root password."""

import asyncio
import getpass
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from vecguard.cli.command import Command, group
from vecguard.cli.exit_codes import NegativeError, UsageError
from vecguard.cli.output import (
    Output,
    OutputOption,
    print_json,
    print_success,
    report_of_change,
    reporting_errors,
)
from vecguard.cli.password_source import PasswordSource
from vecguard.cli.reasons import Reason, reason_of_refusal
from vecguard.cli.root_reset import Reset, reset_root, root_exists
from vecguard.cli.service_settings import ConfigOption, etcd_of, names_etcd, settings_of
from vecguard.config import Settings
from vecguard.errors import InvalidParameterError
from vecguard.milvus_layout import Keys
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash, PasswordPolicy, hash_password
from vecguard.secret import Secret
from vecguard.usernames import ROOT

app = group("Recover from a lost root password.")

log = get_logger(__name__)


@app.callback()
def root() -> None:
    """Recover from a lost root password."""


@app.command(cls=Command)
def reset(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Write to etcd itself, past proxies and root coord.")
    ] = False,
    config: ConfigOption = None,
    new_password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the new password; - reads a line of standard input. "
            "Default: ask for it twice.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give root a new password through etcd, without knowing the old one.

    Needs root coord's configuration file, because it writes to etcd as root coord does. Running
    services take up the change at once and refuse the old password.
    """
    with reporting_errors(output):
        if not offline:
            raise UsageError(
                "this writes to etcd itself, so it needs --offline; if you know root's password, "
                "use: vecguard user passwd root"
            )
        settings = settings_of(config)
        if not names_etcd(settings):
            raise UsageError(
                "etcd.endpoints is not set, so it is not known which etcd to write to; give root "
                "coord's configuration with --config FILE, or set VECGUARD__ETCD__ENDPOINTS"
            )
        keys = Keys.of(settings.etcd.root_path, settings.etcd.meta_sub_path)
        # Before the prompts: an etcd that does not answer or does not fit needs no password.
        exists = asyncio.run(_root_exists(settings, keys))
        if not yes:
            _confirm(settings, keys, exists=exists)
        password = PasswordSource(
            f"new password of {ROOT}", new_password_file, "--new-password-file", confirm=True
        ).read()
        _require_allowed(settings, password)
        done = asyncio.run(_reset(settings, keys, password))
        _audit(settings, done)
        with report_of_change():
            if output is Output.JSON:
                print_json({"username": ROOT, "created": done.created, "revision": done.revision})
            elif done.created:
                print_success(
                    f'there was no {ROOT} under the prefix "{keys.root}", and it was created; '
                    "check with: vecguard login"
                )
            else:
                print_success(
                    f"{ROOT} has a new password; an active root coord makes the proxies forget the "
                    "old one now, check with: vecguard login"
                )


def _require_allowed(settings: Settings, password: Secret[str]) -> None:
    """Raises NegativeError, as the answer of a proxy would, if the password breaks a rule."""
    policy = PasswordPolicy(settings.proxy.min_password_length, settings.proxy.max_password_length)
    try:
        policy.check(password)
    except InvalidParameterError as error:
        raise NegativeError(error.message, reason=reason_of_refusal(error.message)) from error


async def _root_exists(settings: Settings, keys: Keys) -> bool:
    async with etcd_of(settings) as client:
        return await root_exists(
            client, keys, allow_similar_prefix=settings.root_coord.allow_similar_prefix
        )


async def _reset(settings: Settings, keys: Keys, password: Secret[str]) -> Reset:
    cost = settings.authentication.bcrypt_cost
    hashed: PasswordHash = await asyncio.to_thread(hash_password, password, cost)
    async with etcd_of(settings) as client:
        return await reset_root(client, keys, hashed)


def _confirm(settings: Settings, keys: Keys, *, exists: bool) -> None:
    """Raises NegativeError when the answer is no, UsageError when there is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask on; say --yes to do it without asking")
    where = f"{keys.user(ROOT)} in etcd at {', '.join(settings.etcd.endpoints)}"
    what = f"Replace the password of {ROOT}" if exists else f"Create {ROOT}, which is missing"
    if not typer.confirm(f"{what} ({where})?", err=True):
        raise NegativeError("nothing was changed", reason=Reason.NOT_CONFIRMED)


def _audit(settings: Settings, done: Reset) -> None:
    """Logs who did it; root coord logs the same revision itself."""
    log.warning(
        "root_password_reset",
        user=ROOT,
        created=done.created,
        revision=done.revision,
        etcd=list(settings.etcd.endpoints),
        operator=_operator(),
        host=socket.gethostname(),
    )


def _operator() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "?"  # a container's user need not have a name
    return f"{name} (uid {os.getuid()})"
