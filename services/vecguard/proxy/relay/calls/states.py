"""The states of a call: where its request is, and how far its answer is.

The two are independent, because gRPC streams in both directions: an answer may begin, and even
end, while the request goes on.

The request:
    UNDECIDED: who it is from, and where it goes, is not known.
    COLLECTING: its upstream takes whole requests only, and not all of it has come.
    WAITING: it is with the pool, which looks for a connection that has room.
    SENT: it has a stream at the upstream. It goes back to WAITING where the upstream has
        refused to look at it, and it can be sent once more.

The answer:
    AWAITED: the client has heard nothing.
    BEGUN: the client has headers without a status.
    ENDED: a status is said, by the upstream or by us. It may wait behind data for a client
        that reads slowly; an error of ours then takes the place of both.
    OVER: the client's stream is closed, by the end of both sides or because one has gone.

What the upstream says from ENDED on is dropped. Nothing of a call is kept from OVER on.

Numbers and no Enum: to name a member of one costs more than the comparison (Python 3.11). A test
holds every change of state against the tables below.
"""

from typing import Final

UNDECIDED: Final = 0
COLLECTING: Final = 1
WAITING: Final = 2
SENT: Final = 3

AWAITED: Final = 0
BEGUN: Final = 1
ENDED: Final = 2
OVER: Final = 3

#: The states that may follow each state of a request.
REQUEST_CHANGES: Final = {
    UNDECIDED: frozenset((COLLECTING, WAITING)),
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
