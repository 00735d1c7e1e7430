"""The states of a call: one of its request and one of its answer.

The two are independent, because gRPC streams in both directions: an answer may begin, and even
end, while the request continues.

The request:
    UNDECIDED: its user and its upstream are not known yet.
    EXAMINED: its upstream is known; whether the caller may make it is decided by its content. All
        of it is held if it is short; a long one moves to WAITING without its end.
    COLLECTING: its upstream accepts only whole requests, and it is not complete yet.
    WAITING: the pool has it, until a connection has room.
    SENT: it has a stream at the upstream. It goes back to WAITING if the upstream has refused
        to process it, and it can be sent again.

The answer:
    AWAITED: the client has received nothing.
    BEGUN: the client has received headers without a status.
    ENDED: the status is known, from the upstream or from us. It may wait behind data for a client
        that reads slowly; an error of the proxy then replaces both.
    OVER: the client's stream is closed, because both sides have ended or one is gone.

What the upstream sends from ENDED on is dropped. Nothing of a call is kept from OVER on.

Numbers and no Enum: to access a member of an Enum costs more than the comparison (Python 3.11). A
test checks every change of state against the tables below.
"""

from typing import Final

UNDECIDED: Final = 0
COLLECTING: Final = 1
WAITING: Final = 2
SENT: Final = 3
EXAMINED: Final = 4

AWAITED: Final = 0
BEGUN: Final = 1
ENDED: Final = 2
OVER: Final = 3

#: The states that may follow each state of a request.
REQUEST_CHANGES: Final = {
    UNDECIDED: frozenset((EXAMINED, COLLECTING, WAITING)),
    EXAMINED: frozenset((COLLECTING, WAITING)),
    COLLECTING: frozenset((WAITING,)),
    WAITING: frozenset((SENT,)),
    SENT: frozenset((WAITING,)),
}
#: The states that may follow each state of an answer.
ANSWER_CHANGES: Final = {
    AWAITED: frozenset((BEGUN, ENDED, OVER)),
    BEGUN: frozenset((ENDED, OVER)),
    ENDED: frozenset((ENDED, OVER)),
    OVER: frozenset[int](),
}
