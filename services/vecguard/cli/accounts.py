"""Calls Milvus's public account RPCs, through a proxy or at a Milvus."""

import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from grpclib.client import Channel
from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError, StreamTerminatedError

from vecguard.cli.connection import Login
from vecguard.cli.connection_failure import reason_of
from vecguard.cli.exit_codes import NegativeError, NotAllowedError
from vecguard.errors import UnavailableError
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.grpc.channel import translated_errors
from vecguard.secret import Secret

T = TypeVar("T")

# Milvus's codes of "not ready" and "unavailable", and the older code of "not ready".
_UNAVAILABLE_CODES = (1, 2)
# Milvus before 2.3.3 refuses a login with UNKNOWN and this text.
_OLD_REFUSAL = "auth check failure"


class LoginRefusedError(NotAllowedError):
    """The server does not accept the login."""

    reason = "login_refused"


class NotServingError(UnavailableError):
    """The server answers that it cannot serve now."""


class UnknownMethodError(NegativeError):
    """The server does not serve Milvus's account RPCs."""

    reason = "unknown_method"


@dataclass(frozen=True, slots=True)
class User:
    """One user as SelectUser describes it."""

    username: str
    roles: tuple[str, ...]
    description: str


class AccountClient:
    """Calls the account RPCs with one login.

    Every method raises:

    - LoginRefusedError: the login is refused, or one is needed.
    - NotAllowedError: the user has no permission for this.
    - NegativeError: the server refuses; the text is the server's.
    - UnavailableError, DeadlineError, OverloadedError: the server gives no answer.
    """

    def __init__(self, channel: Channel, peer: str, login: Login | None) -> None:
        """Creates a client that calls over `channel`; messages name the server `peer`."""
        self._peer = peer
        self._login = login
        self._stub = pb.MilvusServiceStub(channel, metadata=login.metadata() if login else {})

    async def create(self, username: str, password: Secret[str], description: str | None) -> None:
        """Adds a user."""
        request = pb.CreateCredentialRequest(
            username=username, password=_base64(password), description=description
        )
        _require_success(await self._answer(lambda: self._stub.create_credential(request)))

    async def change_password(
        self, username: str, new: Secret[str], old: Secret[str] | None
    ) -> None:
        """Sets a password. `old` is needed unless an administrator changes another user's."""
        request = pb.UpdateCredentialRequest(
            username=username,
            old_password=_base64(old) if old else "",
            new_password=_base64(new),
        )
        _require_success(await self._answer(lambda: self._stub.update_credential(request)))

    async def delete(self, username: str) -> None:
        """Deletes a user. Succeeds if there is no such user."""
        request = pb.DeleteCredentialRequest(username=username)
        _require_success(await self._answer(lambda: self._stub.delete_credential(request)))

    async def list_names(self) -> list[str]:
        """Returns the names of all users, in alphabetical order."""
        reply = await self._answer(lambda: self._stub.list_cred_users(pb.ListCredUsersRequest()))
        _require_success(reply.status)
        return sorted(reply.usernames)

    async def describe(self, username: str) -> User | None:
        """Returns one user; None if there is no such user."""
        request = pb.SelectUserRequest(user=pb.UserEntity(name=username), include_role_info=True)
        reply = await self._answer(lambda: self._stub.select_user(request))
        _require_success(reply.status)
        for result in reply.results:
            roles = tuple(sorted(role.name for role in result.roles))
            return User(result.user.name, roles, result.description)
        return None

    async def _answer(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            with translated_errors(self._peer):
                try:
                    return await call()
                except GRPCError as error:
                    self._judge(error)
                    raise
                except ssl.SSLCertVerificationError as error:
                    raise UnavailableError(
                        f"the certificate of {self._peer} is not accepted: "
                        f"{error.verify_message}; see --ca and --server-name"
                    ) from error
                except ssl.SSLError as error:
                    why = (error.reason or "unknown").replace("_", " ").lower()
                    raise UnavailableError(
                        f"no TLS connection with {self._peer}: {why}; "
                        "does it speak TLS, and does it want a certificate (--cert)?"
                    ) from error
                except StreamTerminatedError as error:
                    # In TLS 1.3 a missing client certificate is reported after the handshake.
                    raise UnavailableError(
                        f"{self._peer} has closed the connection; "
                        "does it want TLS (--tls) or a certificate (--cert)?"
                    ) from error
                except OSError as error:
                    raise UnavailableError(
                        f"{self._peer} cannot be reached: {reason_of(error)}"
                    ) from error
        except UnicodeError:
            # The IDNA codec raises this for a name that no host can have.
            raise UnavailableError(f"{self._peer} cannot be a host's name") from None

    def _judge(self, error: GRPCError) -> None:
        """Raises the error that the answer stands for, if there was an answer."""
        message = error.message or error.status.name
        match error.status:
            case GrpcStatus.UNAUTHENTICATED:
                raise self._refused(message) from error
            case GrpcStatus.UNKNOWN if _OLD_REFUSAL in message:
                raise self._refused(message) from error
            case GrpcStatus.PERMISSION_DENIED:
                raise NotAllowedError(message) from error
            case GrpcStatus.UNAVAILABLE:
                raise NotServingError(f"{self._peer}: {message}") from error
            case GrpcStatus.UNIMPLEMENTED:
                raise UnknownMethodError(
                    f"{self._peer} does not know this method; is it a Vecguard or a Milvus?"
                ) from error

    def _refused(self, message: str) -> LoginRefusedError:
        who = (
            "a call without a login"
            if self._login is None
            else (f"the login of {self._login.username}")
        )
        return LoginRefusedError(f"{who} is refused: {message}")


def _require_success(status: common.Status) -> None:
    code, legacy = status.code, int(status.error_code)
    if not code and not legacy:
        return
    text = status.reason or f"code {code or legacy}"
    if code in _UNAVAILABLE_CODES or legacy == common.ErrorCode.NotReadyServe:
        raise UnavailableError(text)
    raise NegativeError(text)


def _base64(password: Secret[str]) -> str:
    return base64.b64encode(password.reveal().encode()).decode()
