"""Why a root coord does not answer."""

from vecguard.errors import Status, UnavailableError, VecguardError


class StandbyError(UnavailableError):
    """This root coord is not the active one."""

    reason = "standby"


class LeadershipLostError(StandbyError):
    """This root coord was the active one until now. Nothing was changed."""

    reason = "leadership_lost"

    def __init__(self) -> None:
        super().__init__("this root coord is not the active one any more, try again")


class UnnamedActorError(VecguardError):
    """A change whose proxy does not say who asks for it. Nothing was changed."""

    status = Status.FAILED_PRECONDITION
    reason = "unnamed_actor"

    def __init__(self) -> None:
        super().__init__(
            "the proxy does not say who asks for this change, so it is older than this root coord; "
            "upgrade the proxy"
        )
