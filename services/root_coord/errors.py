"""Why a root coord does not answer."""

from shared.errors import UnavailableError


class StandbyError(UnavailableError):
    """This root coord is not the active one."""

    reason = "standby"


class LeadershipLostError(StandbyError):
    """This root coord was the active one until now. Nothing was changed."""

    reason = "leadership_lost"

    def __init__(self) -> None:
        super().__init__("this root coord is not the active one any more, try again")
