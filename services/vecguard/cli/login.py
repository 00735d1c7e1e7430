"""`vecguard login`: says whether a login is accepted, and if not, why."""

from dataclasses import dataclass, replace

import typer
from grpclib.client import Channel

from vecguard.cli.accounts import AccountClient
from vecguard.cli.connection import Login, LoginConnection, connected
from vecguard.cli.exit_codes import ExitCode, NegativeError, NotAllowedError, UsageError
from vecguard.cli.output import (
    Output,
    OutputOption,
    console,
    mark,
    print_error,
    print_json,
    print_success,
    reporting_errors,
)
from vecguard.cli.public_calls import LoginRefusedError, UnknownMethodError

_ANONYMOUS_CALLS = (
    "but so is a call without a login: authorization is off, "
    "set common.security.authorizationEnabled to true"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a login.

    Attributes:
        refusal: why it is refused; None when it is accepted.
        accepts_anonymous: whether a call without a login is accepted too; None if not tried.
        roles: the user's roles; empty when the server does not report them.
    """

    refusal: str | None
    accepts_anonymous: bool | None = None
    roles: tuple[str, ...] = ()


async def check_login(channel: Channel, peer: str, login: Login) -> Verdict:
    """Tries a login.

    It sends SelectUser about the same user. A refusal for lack of permission also shows that the
    login was accepted.

    Raises:
        UnavailableError, DeadlineError, OverloadedError: the server gives no answer.
        UnknownMethodError: the server does not serve SelectUser.
    """
    try:
        user = await AccountClient(channel, peer, login).describe(login.username)
    except LoginRefusedError as error:
        return Verdict(error.message)
    except UnknownMethodError:
        raise
    except (NotAllowedError, NegativeError):
        return Verdict(None)
    return Verdict(None, roles=user.roles if user else ())


async def accepts_anonymous_calls(channel: Channel, peer: str) -> bool:
    """Returns whether a call without a login is accepted. Raises as `check_login`."""
    try:
        # No user can have this name, so the answer reveals no user.
        await AccountClient(channel, peer, None).describe("-")
    except LoginRefusedError:
        return False
    except UnknownMethodError:
        raise
    except (NotAllowedError, NegativeError):
        return True
    return True


@connected
def login(*, output: OutputOption = Output.TABLE, connection: LoginConnection) -> None:
    """Check a login: says ok, or why not. Exit code 1 if it is refused."""
    with reporting_errors(output):
        given = connection.login()
        if given is None:
            raise UsageError("with --no-login there is no login to check")

        async def judged(channel: Channel) -> Verdict:
            verdict = await check_login(channel, connection.peer, given)
            if verdict.refusal is not None or connection.cert is not None:
                # A client certificate may name the user of a call without a login.
                return verdict
            accepted = await accepts_anonymous_calls(channel, connection.peer)
            return replace(verdict, accepts_anonymous=accepted)

        verdict = connection.ask(judged)
    if verdict.refusal is not None:
        print_error(LoginRefusedError(verdict.refusal), output)
        raise typer.Exit(ExitCode.NEGATIVE)
    if output is Output.JSON:
        print_json(
            {
                "username": given.username,
                "roles": list(verdict.roles),
                "anybody": verdict.accepts_anonymous,
            }
        )
        return
    print_success(f"ok: {connection.peer} accepts the login of {given.username}")
    if verdict.accepts_anonymous:
        console().print(f"{mark('warning')} {_ANONYMOUS_CALLS}")
