"""The refusals of logins. Texts are Milvus's, and do not reveal which part was wrong."""

import math

from vecguard.errors import OverloadedError, Status, VecguardError


class AuthenticationError(VecguardError):
    """The request has no valid login. Only the stable reason says more."""

    status = Status.UNAUTHENTICATED
    reason = "unauthenticated"
    is_bad_login = True


class MissingHeaderError(AuthenticationError):
    """The metadata has no `authorization`."""

    reason = "missing_header"

    def __init__(self) -> None:
        super().__init__("missing authorization in header")


class MalformedHeaderError(AuthenticationError):
    """There is more than one value, or it is not base64 of UTF-8."""

    reason = "malformed_header"

    def __init__(self) -> None:
        super().__init__("invalid token format")


class ApiKeyError(AuthenticationError):
    """The value has no colon, so it is an API key, and there are no API keys here."""

    reason = "api_key"

    def __init__(self) -> None:
        super().__init__("auth check failure, please check api key is correct")


class WrongCredentialsError(AuthenticationError):
    """The user is unknown, or the password is wrong."""

    reason = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("auth check failure, please check username and password are correct")


class LoginLimitedError(OverloadedError):
    """Too many wrong logins have come from this origin, or with this name."""

    reason = "login_limited"
    is_bad_login = True

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            "too many failed logins, try again in "
            f"{max(1, math.ceil(retry_after_seconds))} s with the right password",
            retry_after_seconds=retry_after_seconds,
        )


class RevokedError(AuthenticationError):
    """The login of a call in progress was revoked."""

    reason = "revoked"

    def __init__(self) -> None:
        super().__init__("the login of this call was revoked, please log in again")
