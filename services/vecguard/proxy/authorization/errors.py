"""The errors that end a call before or after it is decided. Texts of refusals are Milvus's."""

from vecguard.errors import MalformedMessageError, Status, UnavailableError, VecguardError


class UnreadableRequestError(MalformedMessageError):
    """A request has no single message that can be read. The status is that of gRPC's servers."""

    reason = "unreadable_request"


class UnsupportedEncodingError(VecguardError):
    """A request is compressed in a way that we cannot undo ("gRPC compression": UNIMPLEMENTED)."""

    status = Status.UNIMPLEMENTED
    reason = "unsupported_encoding"

    def __init__(self, encoding: bytes) -> None:
        shown = ascii(encoding[:32].decode("latin-1"))
        super().__init__(
            f"the request is compressed as {shown}; use gzip, deflate or no compression"
        )


class PermissionDeniedError(VecguardError):
    """The user is authenticated and has no permission. A gRPC status, as in Milvus.

    Attributes:
        privilege: the missing privilege, as in "PrivilegeSearch".
        database: the database by whose grants it was decided; "*" for all.
    """

    status = Status.PERMISSION_DENIED
    reason = "permission_denied"

    def __init__(self, privilege: str, username: str, database: str) -> None:
        super().__init__(f"{privilege}: permission deny to {username} in the `{database}` database")
        self.privilege = privilege
        self.database = database


class AdminNeededError(PermissionDeniedError):
    """The method has no privilege, so that only the role admin allows it."""

    def __init__(self, method: str, username: str) -> None:
        super().__init__(f"{method} needs the role admin", username, "*")
        self.privilege = "admin"


class RoleNeededError(VecguardError):
    """The user has none of the roles that the configuration demands for a method.

    Attributes:
        roles: their names, as texts show them.
    """

    status = Status.PERMISSION_DENIED
    reason = "permission_denied"

    def __init__(self, path: str, roles: str, username: str, *, several: bool) -> None:
        needed = f"one of the roles {roles}" if several else f"the role {roles}"
        super().__init__(f"{path} needs {needed}: permission deny to {username}")
        self.roles = roles


class PermissionChangedError(UnavailableError):
    """The roles of the user have changed after a call was decided, and it must be decided again."""

    reason = "permission_changed"

    def __init__(self) -> None:
        super().__init__("the roles of the user have changed during the call; call again")
