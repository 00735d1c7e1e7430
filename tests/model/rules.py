"""What a run of the model explores: constants, enabled failures, and one seeded bug."""

from dataclasses import dataclass
from enum import Enum


class Bug(Enum):
    """A guard of the protocol that is left out. The model must find each of them."""

    NONE = "the protocol as it stands"
    # The eight of the issue.
    NO_FLOOR = "no floor: a fetch that was in flight brings the old version back"
    NO_LEASE_CHECK = "no lease check: caches decide without a lease"
    LEASE_FROM_RECEIPT = "the lease is counted from the receipt of Renewed"
    ANSWER_BEFORE_INVALIDATING = "the change is answered before proxies have acknowledged"
    NO_LEADER_WAIT = "a new leader answers at once"
    CLOCK_STOPS_IN_SUSPEND = "a proxy's clock stands still in suspend (CLOCK_MONOTONIC)"
    STALE_READ_ACCEPTED = "a read below the highest revision seen is accepted"
    UNFENCED_WRITE = "a write does not compare the leader key"
    # Further guards, each of which some plausible implementation lacks.
    ROOT_CLOCK_STOPS_IN_SUSPEND = "a root coord's clock stands still in suspend"
    RENEWS_WHEN_DEPOSED = "root coord renews without a valid election lease of its own"
    NO_CLOCK_MARGIN = "no margin for clock drift"
    FETCH_BOUND_BY_TERM_ONLY = "a fetch of an earlier session of the same term is used"
    LOWER_TERM_ACCEPTED = "a proxy opens a session of a lower term than it has seen"
    SEEN_BEGINS_EMPTY = "a new leader's highest revision seen does not begin at its election"
    SYNC_BEFORE_REGISTERING = "revisions are compared before the session is registered"
    LEASE_BEFORE_SYNC = "a new session's lease covers entries not yet resynchronised"
    BROKEN_STREAM_FORGOTTEN = "a session whose stream broke no longer counts"
    SUPERSEDED_BY_ID = "a new session replaces the earlier one of the same proxy id"
    ACKNOWLEDGED_BY_ID = "a late acknowledgement of an old session counts for the new one"
    HANDOVER_BEFORE_OWN_WAIT = "a leader hands over before its own wait is done"
    OWN_LEASE_WAITED_FOR = "a new leader waits for its own length of lease, not for those granted"
    HANDOVER_RECORD_KEPT = "the hand-over record is not consumed by the next election"
    REPEAT_ANSWERED_AT_ONCE = "a repeat that finds its change done is answered at once"
    NEWER_THAN_STORE_KEPT = "what is newer than the store that was restored is kept"
    ACTOR_NOT_JUDGED = "a change is made whatever has become of its actor"
    ACTOR_READ_BEFORE_WRITE = "the actor is read before the change and not compared in it"
    ACTOR_POLICY_NOT_COMPARED = "an actor's grants are not compared in the change"
    # Roles.
    POLICY_FLOOR_NOT_RAISED = "a read of roles that was in flight brings the old policy back"
    POLICY_NOTICE_IGNORED = "a change of the policy drops no roles that are held"
    MAPPING_NOTICE_IGNORED = "a change of a user's roles does not drop the user's record"
    ROLES_ACKNOWLEDGED_FIRST = "a notice of the policy is acknowledged before roles are dropped"
    RESYNC_KEEPS_ROLES = "a new session keeps the roles of the earlier one"
    MAPPINGS_NOT_COMPARED = "a new session compares passwords, and not the users' roles"
    EVERYTHING_BUT_ROLES = "an invalidation of everything keeps the roles"
    NO_POLICY_NOTICE = "root coord does not send a change of the policy"
    NO_MAPPING_NOTICE = "root coord does not send a change of a user's roles"
    OLD_DECISION_KEPT = "a call is decided by what was looked up when it began"
    ROLES_WITHOUT_LEASE = "the lease is not checked when roles are in memory"
    CLOCK_READ_BEFORE_REQUEST = "the lease is checked before the request has been read"


@dataclass(frozen=True)
class Rules:
    """One configuration. Durations are ticks; failures have no budget unless named."""

    lease_ttl: int = 2
    #: Of the leases that root coord 2 grants; 0: as root coord 1's.
    second_lease_ttl: int = 0
    election_ttl: int = 2
    margin: int = 1
    proxies: int = 1
    #: Password changes that may be committed.
    changes: int = 1
    #: Root coords crash and restart, at any time.
    crashes: bool = True
    #: Leaders step down in good order.
    step_downs: bool = True
    #: A root coord may lose a stream long before the proxy notices.
    half_open: bool = True
    #: Reads of etcd may be stale.
    stale_reads: bool = True
    #: etcd is restored from a backup, again and again, when no lease runs.
    restores: bool = False
    #: The user whose password, or whose roles, change asks for changes of other accounts.
    actors: bool = False
    #: Changes are of the user's roles, of the policy (grants, roles, groups), or of both at once.
    #: A call is decided by the user's record and by the policy.
    roles: bool = False
    #: Whose clock drifts: "", "proxy", "root" (coord 1) or "etcd".
    drifting: str = ""
    bug: Bug = Bug.NONE

    def lease_ttl_of(self, root: int) -> int:
        """The length of the leases that this root coord grants."""
        return (root and self.second_lease_ttl) or self.lease_ttl
