"""What a state of the model is made of: small immutable tuples of small integers.

No field holds a moment in time. Every timer is the number of ticks left, kept by the
process whose clock measures it, so that the number of states is finite although time,
elections, crashes and lost messages are not bounded.
"""

from typing import NamedTuple

#: No version, no process.
NONE = -1

#: A version that the store had before it was restored: newer than each that it has.
LOST = 9

# Roles of a root coord. A crashed one is a standby that does nothing.
STANDBY, LEADER, SURRENDERING = 0, 1, 2

# How far a change has come at a root coord.
IDLE, COMMITTED, WAITING = 0, 1, 2

# Stages of a proxy's stream. SYNCING: the answer of SyncRevisions is on its way.
# EARLY exists only in a seeded bug.
CLOSED, OPENING, OPEN, SYNCING, READY, EARLY = 0, 1, 2, 3, 4, 5

# Messages down a stream, in order of sending; INVALIDATE + version and POLICY + version are one
# each.
OPENED, RENEWED, SURRENDER, EVERYTHING, INVALIDATE, POLICY = 1, 2, 3, 4, 10, 20


class World(NamedTuple):
    """etcd, the clients and the drifting clock."""

    #: Changes committed; also the version that a linearizable read returns.
    version: int = 0
    #: Newest version whose acknowledgement has reached its caller.
    acknowledged: int = 0
    #: The root coord whose leader key exists, or NONE.
    holder: int = NONE
    #: Ticks until etcd deletes the leader key.
    election_lease: int = 0
    #: The root coord elected last: of two terms, its is the higher one.
    latest: int = 0
    #: 1: the last leader recorded that no lease is left.
    handed_over: int = 0
    #: The longest lease that was granted since the last such record, as etcd has it.
    longest: int = 0
    #: 1: the drifting process's clock is one tick behind.
    behind: int = 0
    #: 1: a deposed leader wrote over an acknowledged change.
    overwritten: int = 0
    #: Version by which a proxy has admitted the actor of a change that is not made yet, or NONE.
    asked: int = NONE
    #: The version of the policy by which it did so; NONE in configurations without roles.
    asked_policy: int = NONE
    #: Seeded bugs only: root coord has read that this is the actor's version.
    judged: int = 0
    #: 1: a change was made whose actor's record, or the policy that admitted it, had been replaced.
    usurped: int = 0
    #: Changes of the policy committed, and the newest version of it that was acknowledged.
    policy: int = 0
    policy_acknowledged: int = 0


class Root(NamedTuple):
    """One root coord; everything is lost in a crash."""

    role: int = STANDBY
    #: Ticks for which it believes in its own leadership.
    valid: int = 0
    #: What is left of the new leader's wait.
    wait: int = 0
    #: Highest store revision (here: version) it has seen.
    seen: int = 0
    #: Stage and version of the change that it works on.
    stage: int = IDLE
    change: int = 0
    #: The version of the policy that this change makes, 0 for none.
    policy: int = 0


class Proxy(NamedTuple):
    """One proxy process, its stream, and what root coords hold about its sessions."""

    #: Version of the cached credential (or of a remembered login), or NONE.
    cached: int = NONE
    #: 1: fetched in this epoch or confirmed by its resynchronisation.
    confirmed: int = 0
    #: Ticks for which it may decide.
    lease: int = 0
    #: A lease granted by a session that is not resynchronised yet.
    next_lease: int = 0
    #: What a lease counted from the sending of the unanswered Renew would still have.
    sent: int = 0
    #: Version that the reply on its way carries, or NONE.
    fetch: int = NONE
    #: The root coord that made this reply; only looked at by seeded bugs.
    fetch_root: int = NONE

    stage: int = CLOSED
    #: Where the stream leads.
    root: int = NONE
    #: 1: the root coord's end is gone; what it sent before may still arrive.
    dead: int = 0
    #: 1: the term in which the session was opened is over.
    over: int = 0
    #: For each root coord, 1: its term is lower than the highest that the proxy has seen.
    outdated: tuple[int, int] = (0, 0)
    #: 1: the answer of SyncRevisions confirms the cached version.
    keep: int = 0
    down: tuple[int, ...] = ()

    #: The session's lease as the root coord counts it.
    granted: int = 0
    #: 1: the change under way waits for this session's acknowledgement.
    owes: int = 0
    #: For each root coord: longest lease of a broken stream which the change under way
    #: waits for, and longest one of the others.
    orphans: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    #: Version of the policy that is held, and of the one that a reply on its way carries, or NONE.
    rights: int = NONE
    rights_fetch: int = NONE

    #: Seeded bugs only: a lease check made before the request was read; an
    #: acknowledgement on its way; a notice of the policy that was acknowledged and is not applied
    #: yet; the versions (user's, policy's) that a call looked up and is not decided by yet.
    glance: int = 0
    late_ack: int = 0
    late_policy: int = 0
    standing: tuple[int, int] = (NONE, NONE)


class State(NamedTuple):
    """One state of the whole system."""

    world: World
    roots: tuple[Root, Root]
    proxies: tuple[Proxy, ...]


class Step(NamedTuple):
    """A label: `kind` for counting and scheduling, `text` for a reader."""

    kind: str
    text: str
