"""`vecguard`: the operator's command line."""

import sys
import traceback
from typing import Annotated, Final

import typer

from vecguard.cli import certs, command, group, role, root, user
from vecguard.cli.doctor import doctor
from vecguard.cli.exit_codes import ExitCode
from vecguard.cli.login import login
from vecguard.cli.output import code_after_output, print_line
from vecguard.cli.status import status
from vecguard.observability.log import configure_logging
from vecguard.observability.metrics import vecguard_version
from vecguard.standard_streams import prepare_streams

_NAME: Final = "vecguard"

app = command.group("Manage, check and repair an installation of Vecguard.", name=_NAME)
app.add_typer(user.app, name="user")
app.add_typer(role.app, name="role")
app.add_typer(group.app, name="group")
app.command(cls=command.Command)(login)
app.command(cls=command.Command)(status)
app.command(cls=command.Command)(doctor)
app.add_typer(root.app, name="root")
app.add_typer(certs.app, name="certs")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if wanted:
        print_line(f"vecguard {vecguard_version()}")
        raise typer.Exit


@app.callback()
def vecguard(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Manage, check and repair an installation of Vecguard."""


def main() -> None:
    """Runs the `vecguard` command."""
    prepare_streams()
    configure_logging("warn", "auto", service="cli")
    try:
        # A standalone app always ends in sys.exit. By default the name in the help and in the
        # variables of completion would depend on how Python was started.
        app(prog_name=_NAME)
    except SystemExit as end:
        sys.exit(code_after_output(end.code) if isinstance(end.code, int) else end.code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last handler; the text could hold a secret
        where = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(
            f"vecguard: a bug: {type(error).__name__} at {where.filename}:{where.lineno}; "
            "please report it\n"
        )
        sys.exit(ExitCode.BUG)


if __name__ == "__main__":
    main()
