"""Guards writes with the fencing token: none applies once another root coord is elected."""

from dataclasses import dataclass

from vecguard.etcd import Compare, Get, OperationResult, RangeResult
from vecguard.root_coord.errors import LeadershipLostError


@dataclass(frozen=True, slots=True)
class Fence:
    """The leader key of one term. During the term it exists with `term` as create revision."""

    key: bytes
    term: int

    @property
    def condition(self) -> Compare:
        """A comparison that holds in etcd only during the term."""
        return Compare.create_revision(self.key, "==", self.term)

    @property
    def question(self) -> Get:
        """The read of a refused transaction whose answer `require` checks."""
        return Get(self.key)

    def require(self, answer: OperationResult) -> None:
        """Raises LeadershipLostError when the answer says that the term is over."""
        if (
            not isinstance(answer, RangeResult)
            or not answer.kvs
            or answer.kvs[0].create_revision != self.term
        ):
            raise LeadershipLostError
