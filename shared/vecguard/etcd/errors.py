"""Defines the errors of the etcd client, by what the caller can do about them.

The texts name endpoints, never a password or a token.
"""

from vecguard.errors import (
    OUTCOME_UNKNOWN,
    OutcomeUnknownError,
    Status,
    UnavailableError,
    VecguardError,
)


class EtcdError(VecguardError):
    """Base of every failure of the etcd client."""

    reason = "etcd"


class EtcdUnavailableError(EtcdError, UnavailableError):
    """No endpoint gave a valid answer in time. Nothing was changed; trying again may help."""

    status = Status.UNAVAILABLE
    reason = "etcd_unavailable"


class EtcdOutcomeUnknownError(EtcdError, OutcomeUnknownError):
    """A write was sent and its answer is lost: it may or may not have been applied."""

    status = OUTCOME_UNKNOWN
    reason = "etcd_outcome_unknown"


class EtcdAuthError(EtcdError):
    """Etcd refuses the user, the password or the user's permissions. An operator must act."""

    status = Status.INTERNAL
    reason = "etcd_auth"


class EtcdPermissionError(EtcdAuthError):
    """Etcd knows the user, who may not make this request."""


class EtcdRequestError(EtcdError):
    """Etcd read the request and refuses it. Repeating the same request is useless."""

    status = Status.INTERNAL
    reason = "etcd_request"


class EtcdNoSpaceError(EtcdError):
    """Etcd's database has outgrown its quota: it accepts no writes until an operator acts.

    A transaction that raises this has changed nothing. The status is etcd's own; pymilvus does
    not repeat a call that ends with it.
    """

    status = Status.RESOURCE_EXHAUSTED
    reason = "etcd_no_space"


class EtcdCorruptError(EtcdError):
    """Etcd's CORRUPT alarm is on: it serves no key. Nothing was changed."""

    status = Status.FAILED_PRECONDITION
    reason = "etcd_corrupt"


class LeaseNotFoundError(EtcdRequestError):
    """A key was to be bound to a lease that has expired or was never granted."""

    reason = "etcd_lease_not_found"


class ClusterMismatchError(EtcdError):
    """An endpoint belongs to another cluster than this client's."""

    status = Status.FAILED_PRECONDITION
    reason = "etcd_cluster_mismatch"


class CompactedError(EtcdError):
    """The requested history is compacted. Read the current state and continue from there.

    Attributes:
        compact_revision: the oldest revision that is left; None when etcd does not report it.
    """

    status = Status.OUT_OF_RANGE
    reason = "etcd_compacted"

    def __init__(self, message: str, compact_revision: int | None) -> None:
        super().__init__(message)
        self.compact_revision = compact_revision
