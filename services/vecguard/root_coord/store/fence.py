"""The fencing token: no write passes once another root coord was elected."""

from dataclasses import dataclass

from vecguard.etcd import Compare, Get, OperationResult, RangeResult
from vecguard.root_coord.errors import LeadershipLostError


@dataclass(frozen=True, slots=True)
class Fence:
    """A key that exists, created at one revision, for as long as one term lasts."""

    key: bytes
    term: int

    @property
    def condition(self) -> Compare:
        """Holds only during the term, whatever this process believes."""
        return Compare.create_revision(self.key, "==", self.term)

    @property
    def question(self) -> Get:
        """Read in a refused transaction, tells `require` whether the term is over."""
        return Get(self.key)

    def require(self, answer: OperationResult) -> None:
        """Raises LeadershipLostError when the answer says that the term is over."""
        if (
            not isinstance(answer, RangeResult)
            or not answer.kvs
            or answer.kvs[0].create_revision != self.term
        ):
            raise LeadershipLostError
