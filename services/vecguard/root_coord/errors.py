"""Defines the errors with which root coord refuses a request."""

from vecguard.errors import Status, UnavailableError, VecguardError


class StandbyError(UnavailableError):
    """This root coord is on standby."""

    reason = "standby"


class LeadershipLostError(StandbyError):
    """This root coord was active until now. Nothing was changed."""

    reason = "leadership_lost"

    def __init__(self) -> None:
        super().__init__("this root coord is no longer the active one, try again")


class UnnamedActorError(VecguardError):
    """The proxy's request for a change names no actor. Nothing was changed."""

    status = Status.FAILED_PRECONDITION
    reason = "unnamed_actor"

    def __init__(self) -> None:
        super().__init__(
            "the proxy does not name the user who makes this change, so it is older than this root "
            "coord; upgrade the proxy"
        )
