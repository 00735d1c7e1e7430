"""Judges failed attempts. The only place that knows etcd's error texts.

The texts stand in etcd's api/v3rpc/rpctypes/error.go. Different errors share a gRPC
status there, hence the texts.
"""

import enum

from grpclib.const import Status

from vecguard.etcd.errors import (
    CompactedError,
    EtcdAuthError,
    EtcdCorruptError,
    EtcdError,
    EtcdNoSpaceError,
    EtcdRequestError,
    LeaseNotFoundError,
)


class AttemptError(Exception):
    """One attempt at one endpoint failed.

    Attributes:
        status: what the server answered; None if no answer came.
        text: the server's words or what happened to the connection.
        sent: whether the server may have received the whole request.
    """

    def __init__(self, text: str, *, status: Status | None = None, sent: bool) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.sent = sent


class Verdict(enum.Enum):
    """What a failed attempt means."""

    NOT_PROCESSED = enum.auto()
    """Surely without effect. Any request may be repeated elsewhere."""

    UNKNOWN = enum.auto()
    """The request may have been processed. Only reads may be repeated."""

    TOKEN_REFUSED = enum.auto()
    """Refused before processing for want of a valid token. A new token helps."""

    FINAL = enum.auto()
    """A definite answer that another endpoint would give as well."""


_COMPACTED = "required revision has been compacted"
_LEASE_NOT_FOUND = "requested lease not found"
_NO_SPACE = "database space exceeded"
# By the alarm every member refuses while it applies requests, although the status of this
# error, DATA_LOSS, says nothing about the request elsewhere in gRPC.
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
# Checked by etcd before it hands a request to its log.
_REFUSALS_BEFORE_PROCESSING = (
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "rpc not supported for learner",
)
# What callers are told instead of etcd's text.
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
        "serves nothing (alarm CORRUPT): replace the bad member, then: etcdctl alarm disarm",
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
    """What a failed attempt means for the request."""
    if failure.status is not None:
        if _contains(failure.text, _TOKEN_REFUSALS):
            return Verdict.TOKEN_REFUSED
        if _contains(failure.text, _REFUSALS_BEFORE_PROCESSING):
            return Verdict.NOT_PROCESSED
        if failure.status not in _INCONCLUSIVE or _CORRUPT in failure.text:
            return Verdict.FINAL
    return Verdict.UNKNOWN if failure.sent else Verdict.NOT_PROCESSED


def is_auth_refusal(text: str) -> bool:
    """Whether etcd refused for want of a token or of a permission.

    A watch is refused as "permission denied" even if only its token is too old.
    """
    return _contains(text, (*_TOKEN_REFUSALS, _PERMISSION_DENIED))


def is_auth_disabled(failure: AttemptError) -> bool:
    """Whether Authenticate failed because the cluster runs without authentication."""
    return _AUTH_NOT_ENABLED in failure.text


def watch_cancelled(reason: str) -> AttemptError:
    """What it means that etcd ended a watch, by the reason that it gives."""
    if is_auth_refusal(reason):
        status = Status.UNAUTHENTICATED
    elif not reason or _contains(reason, _REFUSALS_BEFORE_PROCESSING):
        status = Status.UNAVAILABLE
    else:
        status = Status.FAILED_PRECONDITION
    return AttemptError(f"watch cancelled: {reason or 'no reason given'}", status=status, sent=True)


def final_error(failure: AttemptError, where: str) -> EtcdError:
    """The error that a caller gets for a definite refusal.

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
    if failure.status in {Status.PERMISSION_DENIED, Status.UNAUTHENTICATED} or is_auth_refusal(
        text
    ):
        return EtcdAuthError(f"etcd at {where} refuses the request: {text}")
    return EtcdRequestError(f"etcd at {where} refuses the request: {text}")


def _contains(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)
