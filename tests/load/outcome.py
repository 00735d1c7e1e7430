"""What became of one attempt."""

from dataclasses import dataclass, replace

import grpc


@dataclass(frozen=True)
class Outcome:
    """The result of one attempt.

    Attributes:
        label: a short word out of a small set; a gRPC status in lower case for failures.
        good: whether it is what a correct server answers, overload not counted.
        broken_promise: the server accepted what it must refuse. Never tolerated.
        proxy: the number of the proxy that was asked.
        finished: when it ended, by the run's clock; None: when the attempt returned.
    """

    label: str
    good: bool = True
    broken_promise: bool = False
    proxy: int = 0
    finished: float | None = None

    def at(self, proxy: int, *, finished: float | None = None) -> "Outcome":
        return replace(self, proxy=proxy, finished=finished)


ANSWERED = Outcome("ok")
REFUSED = Outcome("refused")
#: The limits on failed logins were reached; right for a wrong password.
LIMITED = Outcome("limited")
WRONG_PASSWORD_ACCEPTED = Outcome("wrong password accepted", good=False, broken_promise=True)
OLD_PASSWORD_ACCEPTED = Outcome("old password accepted", good=False, broken_promise=True)
#: A change was answered with an error.
NOT_CHANGED = Outcome("not changed", good=False)
#: Too many attempts were under way already, so this one was not made.
NOT_MADE = Outcome("not made", good=False)


def failure(error: grpc.RpcError) -> Outcome:
    """A call that failed where it should not have."""
    return Outcome(error.code().name.lower(), good=False)
