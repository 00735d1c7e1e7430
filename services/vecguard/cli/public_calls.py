"""Makes calls at the public port of a proxy or of a Milvus, and judges the answers."""

import ssl
from collections.abc import Awaitable
from typing import TypeVar

from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError, StreamTerminatedError

from vecguard.cli.connection import Login
from vecguard.cli.connection_failure import reason_of
from vecguard.cli.exit_codes import NegativeError, NotAllowedError
from vecguard.cli.reasons import Reason, reason_of_refusal
from vecguard.errors import OverloadedError, UnavailableError
from vecguard.generated.milvus.proto import common
from vecguard.grpc.channel import translated_errors

T = TypeVar("T")

# Milvus's codes of "not ready" and "unavailable", and the older code of "not ready".
_UNAVAILABLE_CODES = (1, 2)
# Milvus before 2.3.3 refuses a login with UNKNOWN and this text.
_OLD_REFUSAL = "auth check failure"
_LIMITED = "too many failed logins"


class LoginRefusedError(NotAllowedError):
    """The server does not accept the login."""

    reason = Reason.LOGIN_REFUSED


class RateLimitedError(OverloadedError):
    """Too many wrong logins have come from this address, or with this name."""

    reason = Reason.RATE_LIMITED


class NotServingError(UnavailableError):
    """The server answers that it cannot serve now."""


class UnknownMethodError(NegativeError):
    """The server does not serve Milvus's account RPCs."""

    reason = Reason.UNKNOWN_METHOD


class PublicCalls:
    """Awaits the answers of calls that are made with one login.

    Attributes:
        metadata: the login as the metadata of calls.
    """

    def __init__(self, peer: str, login: Login | None) -> None:
        """Messages name the server `peer`."""
        self._peer = peer
        self._login = login
        self.metadata = login.metadata() if login else {}

    async def answer(self, call: Awaitable[T]) -> T:
        """Returns the answer of a call.

        Raises:
            LoginRefusedError: the login is refused, or one is needed.
            NotAllowedError: the user has no permission for this.
            NegativeError: the server refuses the request; the text is the server's.
            UnknownMethodError: the server does not know the method.
            UnavailableError, DeadlineError, OverloadedError: the server gives no answer.
        """
        try:
            with translated_errors(self._peer):
                try:
                    return await call
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
            case GrpcStatus.NOT_FOUND | GrpcStatus.INVALID_ARGUMENT:
                raise NegativeError(message, reason=reason_of_refusal(message)) from error
            case GrpcStatus.RESOURCE_EXHAUSTED if _LIMITED in message:
                raise RateLimitedError(f"{self._peer}: {message}") from error
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


def require_success(status: common.Status) -> None:
    """Raises NegativeError with the server's text, or UnavailableError, unless it is a success."""
    code, legacy = status.code, int(status.error_code)
    if not code and not legacy:
        return
    text = status.reason or f"code {code or legacy}"
    if code in _UNAVAILABLE_CODES or legacy == common.ErrorCode.NotReadyServe:
        raise UnavailableError(text)
    raise NegativeError(text, reason=reason_of_refusal(text))
