"""Active or standby."""

from vecguard.root_coord.errors import StandbyError
from vecguard.root_coord.tenure import Tenure


class Role:
    """Whether this process is the active root coord, and its tenure while it is.

    Attributes:
        refusal: why this process does not even stand for election; "" if it does.
    """

    def __init__(self) -> None:
        self._tenure: Tenure | None = None
        self._active_address = ""
        self._trouble = ""
        self.refusal = ""

    @property
    def tenure(self) -> Tenure | None:
        """The tenure of the active root coord; None on standby."""
        return self._tenure

    def require(self) -> Tenure:
        """The tenure. Raises StandbyError, which names the active root coord, on standby."""
        if self.refusal:
            raise StandbyError(f"this root coord cannot lead: {self.refusal}")
        if self._tenure is None:
            elsewhere = (
                f"; the active one is {self._active_address}" if self._active_address else ""
            )
            trouble = f"; {self._trouble}" if self._trouble else ""
            raise StandbyError(f"this root coord is on standby{elsewhere}{trouble}")
        return self._tenure

    def leader_seen(self, address: str) -> None:
        """Who is the active one listens there; empty: there is none."""
        self._active_address, self._trouble = address, ""

    def election_failed(self, message: str) -> None:
        """Nobody knows who is the active one, because etcd does not answer."""
        self._active_address = ""
        self._trouble = f"it cannot stand for election: {message}"

    def assume(self, tenure: Tenure) -> None:
        """From now on calls are served."""
        self._tenure = tenure
        self.leader_seen("")

    def release(self) -> None:
        """From now on calls are refused; open sessions end."""
        if self._tenure is not None:
            self._tenure.hub.close()
        self._tenure = None
