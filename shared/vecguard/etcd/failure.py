"""Decides what a failed attempt means: try again, give up, or outcome unknown.

No other module knows etcd's error texts.

The texts are in etcd's api/v3rpc/rpctypes/error.go. Different errors share a gRPC status there,
so the status alone is not enough.
"""

import enum

from grpclib.const import Status

from vecguard.etcd.errors import (
    CompactedError,
    EtcdAuthError,
    EtcdCorruptError,
    EtcdError,
    EtcdNoSpaceError,
    EtcdPermissionError,
    EtcdRequestError,
    LeaseNotFoundError,
)


class AttemptError(Exception):
    """One attempt at one endpoint failed.

    Attributes:
        status: the server's answer; None if no answer came.
        text: the server's words, or what happened to the connection.
        sent: whether the server may have received the whole request.
    """

    def __init__(self, text: str, *, status: Status | None = None, sent: bool) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.sent = sent


class Verdict(enum.Enum):
    """What a failed attempt means for its request."""

    NOT_PROCESSED = enum.auto()
    """Certainly without effect. Any request may be repeated elsewhere."""

    UNKNOWN = enum.auto()
    """The request may have been processed. Only reads may be repeated."""

    TOKEN_REFUSED = enum.auto()
    """Refused before processing for lack of a valid token. A new token helps."""

    FINAL = enum.auto()
    """A definite answer that another endpoint would give too."""


_COMPACTED = "required revision has been compacted"
_LEASE_NOT_FOUND = "requested lease not found"
_NO_SPACE = "database space exceeded"
# While this alarm is on, every member refuses requests as it applies them. In other uses of
# gRPC its status, DATA_LOSS, does not say whether the request was applied.
_CORRUPT = "etcdserver: corrupt cluster"
_AUTH_NOT_ENABLED = "authentication is not enabled"
_AUTH_FAILED = "authentication failed, invalid user ID or password"
_PERMISSION_DENIED = "permission denied"

_TOKEN_REFUSALS = (
    "invalid auth token",
    "revision of auth store is old",
    "revision in header is old",  # the same in 3.4
    "user name is empty",  # no token was sent although authentication is on
)
# Checked by etcd before it writes a request to its log.
_REFUSALS_BEFORE_PROCESSING = (
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "rpc not supported for learner",
)
# The texts that callers get in place of etcd's.
_DEFINITE: tuple[tuple[str, type[EtcdError], str], ...] = (
    (_LEASE_NOT_FOUND, LeaseNotFoundError, "knows no such lease: it has expired"),
    (
        _NO_SPACE,
        EtcdNoSpaceError,
        "is out of space and refused the change: compact, defragment, then: etcdctl alarm disarm",
    ),
    (
        _CORRUPT,
        EtcdCorruptError,
        "refuses all requests (alarm CORRUPT): replace the bad member, then: etcdctl alarm disarm",
    ),
    (_AUTH_FAILED, EtcdAuthError, "refuses the configured user name or password"),
)
_INCONCLUSIVE = frozenset(
    {
        Status.CANCELLED,
        Status.UNKNOWN,
        Status.DEADLINE_EXCEEDED,
        Status.ABORTED,
        Status.INTERNAL,
        Status.UNAVAILABLE,
        Status.DATA_LOSS,
    }
)


def judge(failure: AttemptError) -> Verdict:
    """Returns what a failed attempt means for the request."""
    if failure.status is not None:
        if _contains(failure.text, _TOKEN_REFUSALS):
            return Verdict.TOKEN_REFUSED
        if _contains(failure.text, _REFUSALS_BEFORE_PROCESSING):
            return Verdict.NOT_PROCESSED
        if failure.status not in _INCONCLUSIVE or _CORRUPT in failure.text:
            return Verdict.FINAL
    return Verdict.UNKNOWN if failure.sent else Verdict.NOT_PROCESSED


def is_auth_refusal(text: str) -> bool:
    """Returns whether etcd refused for lack of a token or of a permission.

    A watch is refused with "permission denied" even if only its token is too old.
    """
    return _contains(text, (*_TOKEN_REFUSALS, _PERMISSION_DENIED))


def is_auth_disabled(failure: AttemptError) -> bool:
    """Returns whether Authenticate failed because the cluster runs without authentication."""
    return _AUTH_NOT_ENABLED in failure.text


def watch_cancelled(reason: str) -> AttemptError:
    """Returns the failure for etcd's reason for ending a watch."""
    if is_auth_refusal(reason):
        status = Status.UNAUTHENTICATED
    elif not reason or _contains(reason, _REFUSALS_BEFORE_PROCESSING):
        status = Status.UNAVAILABLE
    else:
        status = Status.FAILED_PRECONDITION
    return AttemptError(f"watch cancelled: {reason or 'no reason given'}", status=status, sent=True)


def final_error(failure: AttemptError, where: str) -> EtcdError:
    """Returns the error that a caller gets for a definite refusal.

    Args:
        failure: an attempt judged FINAL or TOKEN_REFUSED.
        where: the endpoint, for the text.
    """
    text = failure.text
    if _COMPACTED in text:
        return CompactedError(
            f"etcd at {where} has compacted the revision that was asked for", None
        )
    for phrase, kind, meaning in _DEFINITE:
        if phrase in text:
            return kind(f"etcd at {where} {meaning}")
    if _PERMISSION_DENIED in text:
        return EtcdPermissionError(f"etcd at {where} refuses the request: {text}")
    if failure.status in {Status.PERMISSION_DENIED, Status.UNAUTHENTICATED} or is_auth_refusal(
        text
    ):
        return EtcdAuthError(f"etcd at {where} refuses the request: {text}")
    return EtcdRequestError(f"etcd at {where} refuses the request: {text}")


def _contains(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)
