"""Active or standby."""

from services.root_coord.errors import StandbyError
from services.root_coord.tenure import Tenure


class Role:
    """Whether this process is the active root coord, and its tenure while it is."""

    def __init__(self) -> None:
        self._tenure: Tenure | None = None
        self._active_address = ""

    @property
    def tenure(self) -> Tenure | None:
        """The tenure of the active root coord; None on standby."""
        return self._tenure

    def require(self) -> Tenure:
        """The tenure. Raises StandbyError, which names the active root coord, on standby."""
        if self._tenure is None:
            elsewhere = (
                f"; the active one is {self._active_address}" if self._active_address else ""
            )
            raise StandbyError(f"this root coord is on standby{elsewhere}")
        return self._tenure

    def leader_seen(self, address: str) -> None:
        """Somebody is the active one, and listens there."""
        self._active_address = address

    def assume(self, tenure: Tenure) -> None:
        """From now on calls are served."""
        self._tenure = tenure

    def release(self) -> None:
        """From now on calls are refused; open sessions end."""
        if self._tenure is not None:
            self._tenure.hub.close()
        self._tenure = None
