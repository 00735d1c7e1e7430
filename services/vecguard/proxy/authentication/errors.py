"""Refusals. The texts are Milvus's, and say nothing about which part was wrong."""

import math

from vecguard.errors import OverloadedError, Status, VecguardError


class AuthenticationError(VecguardError):
    """The request is not from who it says. Only the stable reason tells more."""

    status = Status.UNAUTHENTICATED
    reason = "unauthenticated"


class MissingHeaderError(AuthenticationError):
    """No `authorization` in the metadata."""

    reason = "missing_header"

    def __init__(self) -> None:
        super().__init__("missing authorization in header")


class MalformedHeaderError(AuthenticationError):
    """More than one value, or no base64 of UTF-8."""

    reason = "malformed_header"

    def __init__(self) -> None:
        super().__init__("invalid token format")


class ApiKeyError(AuthenticationError):
    """A value without a colon is an API key, and no API key is known here."""

    reason = "api_key"

    def __init__(self) -> None:
        super().__init__("auth check failure, please check api key is correct")


class WrongCredentialsError(AuthenticationError):
    """Unknown user or wrong password."""

    reason = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("auth check failure, please check username and password are correct")


class LoginLimitedError(OverloadedError):
    """Too many wrong logins have come from there, or with this name."""

    reason = "login_limited"

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
