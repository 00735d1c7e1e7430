"""`vecguard`: the operator's command line."""

import typer

from services.cli import certs

app = typer.Typer(
    name="vecguard",
    help="Tools for operators of Vecguard.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables could print a private key.
    pretty_exceptions_show_locals=False,
)
app.add_typer(certs.app, name="certs")


@app.callback()
def vecguard() -> None:
    """Tools for operators of Vecguard."""


def main() -> None:
    """Entry point of the `vecguard` command."""
    app()


if __name__ == "__main__":
    main()
