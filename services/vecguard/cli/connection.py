"""Connects a command to the proxy: address, TLS, login and time limit."""

import asyncio
import base64
import inspect
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from vecguard.addresses import Address
from vecguard.cli.exit_codes import UsageError
from vecguard.cli.given_address import GivenAddress, read_address
from vecguard.cli.password_source import PasswordSource
from vecguard.errors import ConfigurationError, DeadlineError
from vecguard.grpc.channel import Channel
from vecguard.input_text import TextError, cleaned
from vecguard.secret import Secret
from vecguard.tls.contexts import client_context, load
from vecguard.tls.material import PemFile, TlsFiles

T = TypeVar("T")

#: A day. The clocks of the event loop overflow at much longer waits.
MAX_TIMEOUT_SECONDS: Final = 86_400.0

#: Of a proxy, and of a Milvus.
_PORT: Final = 19530

#: What to add about a change whose answer did not come, as `unsure` of `Connection.ask`.
CHANGE_IS_UNSURE: Final = "; the change may have been made, and it is safe to repeat"

_GROUP = "Connection"


def _option(*names: str, help: str, variable: str, **more: Any) -> Any:  # noqa: A002 - typer's word
    return typer.Option(
        *names, help=help, envvar=f"VECGUARD_{variable}", rich_help_panel=_GROUP, **more
    )


def require_text(value: str | None) -> str | None:
    """Checks, as a typer callback, a value that is sent as text.

    Raises:
        BadParameter: it is not UTF-8.
    """
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        # Python keeps such bytes of an argument as lone surrogates.
        raise typer.BadParameter("it is not UTF-8 text") from None
    return value


def require_name(value: str | None) -> str | None:
    """Checks a name as `require_text`. Raises BadParameter if it is blank, too."""
    if value is not None and not value.strip():
        raise typer.BadParameter("the name is empty")
    return require_text(value)


def require_names(values: list[str] | None) -> list[str] | None:
    """Checks each of several names as `require_name`."""
    for value in values or ():
        require_name(value)
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Holds the connection options of a command as they were given.

    The options are checked when they are used. `connected` makes the fields a command's options.
    """

    address: Annotated[
        str,
        _option(
            "--address",
            "-a",
            variable="ADDRESS",
            metavar="HOST:PORT",
            help="The proxy, or a Milvus. Also http://HOST:PORT, https://HOST:PORT (TLS) or HOST.",
        ),
    ] = f"localhost:{_PORT}"
    tls: Annotated[
        bool,
        _option(
            "--tls", variable="TLS", help="Encrypt. Implied by --ca, --cert and --server-name."
        ),
    ] = False
    ca: Annotated[
        Path | None,
        _option(
            "--ca",
            variable="CA",
            metavar="FILE",
            help="File with the CAs that may have signed the server's certificate; "
            "default: the system's.",
        ),
    ] = None
    cert: Annotated[
        Path | None,
        _option(
            "--cert",
            variable="CERT",
            metavar="FILE",
            help="File with the certificate to show (mutual TLS).",
        ),
    ] = None
    key: Annotated[
        Path | None, _option("--key", variable="KEY", metavar="FILE", help="File with its key.")
    ] = None
    server_name: Annotated[
        str | None,
        _option(
            "--server-name",
            variable="SERVER_NAME",
            metavar="NAME",
            help="Name expected in the server's certificate, if not the host's.",
        ),
    ] = None
    # A change waits at most one lease (10 s) for proxies that are cut off, and for etcd.
    timeout: Annotated[
        float,
        _option(
            "--timeout",
            variable="TIMEOUT",
            metavar="SECONDS",
            min=0.1,
            max=MAX_TIMEOUT_SECONDS,
            help="How long to wait for the answer.",
        ),
    ] = 30.0

    @property
    def place(self) -> Address:
        """The address to connect to. Raises UsageError if it cannot be read."""
        return self._given().address

    @property
    def peer(self) -> str:
        """The same as text, for messages. Raises as `place`."""
        return str(self.place)

    @property
    def says_tls(self) -> bool:
        """Whether an option or the address says if TLS is requested. Raises as `is_encrypted`."""
        return self.is_encrypted or self._given().tls is not None

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is requested.

        Raises UsageError if the address cannot be read, or asks for no TLS and an option does.
        """
        asked = bool(self.tls or self.ca or self.cert or self.server_name)
        by_address = self._given().tls
        if asked and by_address is False:
            raise UsageError(
                "--address: http:// means no TLS, which --tls, --ca, --cert and --server-name "
                "ask for; say https://, or leave these options and their variables out"
            )
        return asked or by_address is True

    def _given(self) -> GivenAddress:
        return read_address(self.address, option="--address", default_port=_PORT)

    def ask(self, questions: Callable[[Channel], Awaitable[T]], *, unsure: str = "") -> T:
        """Runs `questions` with a channel and returns their result; all share one deadline.

        Args:
            questions: the calls to make.
            unsure: added to the message when no answer came in time.

        Raises:
            UsageError: the options cannot be used.
            DeadlineError: no answer came in time.
            VecguardError: an error of `questions`.
        """
        return asyncio.run(self.questioned(questions, unsure=unsure))

    async def questioned(
        self, questions: Callable[[Channel], Awaitable[T]], *, unsure: str = ""
    ) -> T:
        """Does what `ask` does, inside a running event loop."""
        peer, channel = self.peer, self._channel()
        try:
            async with asyncio.timeout(self.timeout):
                return await questions(channel)
        except TimeoutError as error:
            raise DeadlineError(
                f"{peer} did not answer within {self.timeout:g} s{unsure}"
            ) from error
        finally:
            channel.close()

    def _channel(self) -> Channel:
        return Channel(
            self.place,
            tls=self.context(),
            server_name=self.server_name,
            connect_timeout_seconds=self.timeout,
        )

    def context(self) -> ssl.SSLContext | None:
        """Returns the TLS context; None for a plain connection.

        Raises:
            UsageError: a file cannot be used.
        """
        try:
            files = TlsFiles(
                _pem(self.cert, "--cert"), _pem(self.key, "--key"), _pem(self.ca, "--ca")
            )
            return load(files, client_context)[1] if self.is_encrypted else None
        except ConfigurationError as error:
            raise UsageError(error.message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginConnection(Connection):
    """Holds the options of a connection with a login."""

    user: Annotated[
        str,
        _option(
            "--user",
            "-u",
            variable="USER",
            metavar="NAME",
            help="The user who logs in.",
            callback=require_text,
        ),
    ] = "root"
    password_file: Annotated[
        Path | None,
        _option(
            "--password-file",
            variable="PASSWORD_FILE",
            metavar="FILE",
            help="File with that user's password; - reads a line of standard input. "
            "Default: ask for it.",
        ),
    ] = None
    no_login: Annotated[
        bool,
        typer.Option(
            "--no-login",
            help="Send no login: where authorization is off, or where --cert names the user.",
            rich_help_panel=_GROUP,
        ),
    ] = False

    def login(self) -> "Login | None":
        """Returns the login to send; asks for the password unless a file holds it.

        Raises:
            UsageError: the address or the name cannot be used, or no password was given.
        """
        # Before the prompt: nothing is asked for a command that cannot run.
        _ = self.is_encrypted
        if self.no_login:
            return None
        try:
            user = cleaned(self.user)
        except TextError as error:
            raise UsageError(f"--user {error}") from None
        if not user:
            raise UsageError("--user is empty; name who logs in, or say --no-login")
        if ":" in user:
            raise UsageError(f"--user {user!r}: a user name cannot contain a colon")
        source = PasswordSource(f"password of {user}", self.password_file, "--password-file")
        return Login(user, source.read())


@dataclass(frozen=True, slots=True)
class Login:
    """Holds a user name and its password."""

    username: str
    password: Secret[str]

    def metadata(self) -> dict[str, Any]:
        """Returns the `authorization` metadata: base64(user:password), no scheme, as in Milvus."""
        pair = f"{self.username}:{self.password.reveal()}"
        return {"authorization": base64.b64encode(pair.encode()).decode()}


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of a connection.

    The command has a keyword parameter `connection`, annotated with `Connection` or
    `LoginConnection`; on the command line it becomes the options of that class.
    """
    signature = inspect.signature(command)
    kind: type[Connection] = signature.parameters["connection"].annotation
    options = inspect.signature(kind).parameters
    own = [each for name, each in signature.parameters.items() if name != "connection"]

    @wraps(command)
    def with_connection(**given: Any) -> None:
        connection = kind(**{name: given.pop(name) for name in options})
        command(connection=connection, **given)

    # typer reads the options from here.
    with_connection.__signature__ = signature.replace(  # type: ignore[attr-defined] # PEP 362
        parameters=[*own, *options.values()]
    )
    return with_connection


def _pem(path: Path | None, option: str) -> PemFile | None:
    return None if path is None else PemFile(path, option)
