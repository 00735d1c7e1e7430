"""Refuses answers of an older state or of another cluster."""

from typing import Protocol

from vecguard.addresses import Address
from vecguard.etcd.errors import ClusterMismatchError


class Header(Protocol):
    """The fields of an answer's header that the guard needs."""

    @property
    def cluster_id(self) -> int: ...

    @property
    def revision(self) -> int: ...


class RevisionGuard:
    """Remembers the cluster and the newest revision that any answer has shown.

    A member can serve a "linearizable" read from an old state after a pause
    (etcd issue 20418: all of 3.4, and 3.5 before 3.5.28). A read that was sent after a
    revision had been seen must not be older than it.
    """

    def __init__(self) -> None:
        self._cluster_id = 0
        self._newest = 0

    @property
    def newest(self) -> int:
        """The highest revision seen so far. Read it before a read is sent."""
        return self._newest

    def observe(self, header: Header, endpoint: Address) -> None:
        """Records an answer's header.

        Raises:
            ClusterMismatchError: the answer comes from another cluster.
        """
        if header.cluster_id:
            if self._cluster_id and header.cluster_id != self._cluster_id:
                raise ClusterMismatchError(
                    f"etcd endpoint {endpoint} belongs to cluster {header.cluster_id:x}, but "
                    f"this client works with cluster {self._cluster_id:x}: check the list of "
                    "endpoints; after a move to a new cluster restart this process"
                )
            self._cluster_id = header.cluster_id
        self._newest = max(self._newest, header.revision)
