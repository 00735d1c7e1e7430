"""Holds whether this process is the active root coord or on standby."""

from datetime import UTC, datetime

from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.errors import StandbyError


class Role:
    """Holds the current term while this process is the active root coord.

    Attributes:
        refusal: why this process does not stand for election; "" if it does.
        active_since: when it became the active root coord, by the machine's clock; None on standby.
    """

    def __init__(self, own_address: str = "") -> None:
        """`own_address` is the one under which this process stands for election."""
        self._own_address = own_address
        self._active_term: ActiveTerm | None = None
        self._active_address = ""
        self._trouble = ""
        self.refusal = ""
        self.active_since: datetime | None = None

    @property
    def active_term(self) -> ActiveTerm | None:
        """The current term of the active root coord; None on standby."""
        return self._active_term

    def require(self) -> ActiveTerm:
        """Returns the current term.

        Raises:
            StandbyError: this process is on standby; the text names the active root coord.
        """
        if self.refusal:
            raise StandbyError(f"this root coord cannot become active: {self.refusal}")
        if self._active_term is None:
            trouble = f"; {self._trouble}" if self._trouble else ""
            raise StandbyError(f"this root coord is on standby{self._elsewhere()}{trouble}")
        return self._active_term

    def _elsewhere(self) -> str:
        if not self._active_address:
            return ""
        if self._active_address == self._own_address:
            return "; it waits until its own key of an earlier term expires in etcd"
        return f"; the active one is {self._active_address}"

    def leader_seen(self, address: str) -> None:
        """Records the address of the active root coord; "" when there is none."""
        self._active_address, self._trouble = address, ""

    def election_failed(self, message: str) -> None:
        """Records that the active root coord is unknown because etcd does not answer."""
        self._active_address = ""
        self._trouble = f"it cannot stand for election: {message}"

    def assume(self, active_term: ActiveTerm) -> None:
        """Begins to serve calls with this term."""
        self._active_term = active_term
        self.active_since = datetime.now(UTC)
        self.leader_seen("")

    def release(self) -> None:
        """Ends open sessions and refuses calls from now on."""
        if self._active_term is not None:
            self._active_term.hub.close()
        self._active_term = self.active_since = None
