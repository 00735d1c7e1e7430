"""The named configurations that are explored, and how each seeded bug is looked for."""

from dataclasses import replace

from tests.model.rules import Bug, Rules

#: Part of `make test`.
SHORT = {
    "every failure": Rules(half_open=False),
    "the proxy's clock drifts": Rules(
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
        drifting="proxy",
    ),
    "leases of different lengths": Rules(
        lease_ttl=3,
        second_lease_ttl=1,
        margin=0,
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
    ),
    "the user asks for changes": Rules(
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
        actors=True,
    ),
    "roles change": Rules(
        margin=0,
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
        roles=True,
    ),
    "a user with a role asks for changes": Rules(
        lease_ttl=1,
        margin=0,
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
        roles=True,
        actors=True,
    ),
    "the store is restored": Rules(
        margin=0,
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
        restores=True,
    ),
}

#: Added by `python -m tests.model --full`.
FULL = {
    "every failure, roles change": Rules(half_open=False, stale_reads=False, roles=True),
    "every failure, the user asks for changes": Rules(half_open=False, actors=True),
    "leases of different lengths, leaders step down": Rules(
        lease_ttl=3,
        second_lease_ttl=1,
        margin=0,
        election_ttl=1,
        half_open=False,
        stale_reads=False,
    ),
    "the store is restored, every other failure": Rules(
        election_ttl=1, half_open=False, restores=True
    ),
    "every failure, longer lease": Rules(lease_ttl=3),
    "every failure, two changes": Rules(half_open=False, changes=2),
    "every failure, the proxy's clock drifts": Rules(half_open=False, drifting="proxy"),
    "every failure, a root coord's clock drifts": Rules(half_open=False, drifting="root"),
    "every failure, etcd's clock drifts": Rules(half_open=False, drifting="etcd"),
    # Without drift no margin is needed, so that the smallest lease will do.
    "two proxies": Rules(
        proxies=2,
        lease_ttl=1,
        margin=0,
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
    ),
}

#: Added by `--largest`: twenty minutes and 5 GB by itself.
LARGEST = {
    "two proxies, longer lease": Rules(
        proxies=2,
        election_ttl=1,
        half_open=False,
        crashes=False,
        step_downs=False,
        stale_reads=False,
    ),
}

#: Explored for the time until a change is answered once failures have stopped.
SHORT_LIVENESS = Rules(half_open=False, step_downs=False, stale_reads=False)
FULL_LIVENESS = Rules(half_open=False)


#: The bugs that only a configuration with roles can have.
OF_ROLES = (
    Bug.POLICY_FLOOR_NOT_RAISED,
    Bug.POLICY_NOTICE_IGNORED,
    Bug.MAPPING_NOTICE_IGNORED,
    Bug.ROLES_ACKNOWLEDGED_FIRST,
    Bug.RESYNC_KEEPS_ROLES,
    Bug.MAPPINGS_NOT_COMPARED,
    Bug.EVERYTHING_BUT_ROLES,
    Bug.NO_POLICY_NOTICE,
    Bug.NO_MAPPING_NOTICE,
    Bug.OLD_DECISION_KEPT,
    Bug.ROLES_WITHOUT_LEASE,
)


def seeded(bug: Bug) -> Rules:
    """The smallest configuration in which `bug` shows itself."""
    stale = (Bug.STALE_READ_ACCEPTED, Bug.SEEN_BEGINS_EMPTY, Bug.LOWER_TERM_ACCEPTED)
    drifts = bug is Bug.NO_CLOCK_MARGIN
    waits = (Bug.NO_LEADER_WAIT, Bug.HANDOVER_BEFORE_OWN_WAIT, Bug.HANDOVER_RECORD_KEPT)
    if bug is Bug.OWN_LEASE_WAITED_FOR:
        return replace(SHORT["leases of different lengths"], bug=bug)
    if bug in OF_ROLES:
        return replace(SHORT["roles change"], lease_ttl=1, bug=bug)
    if bug is Bug.ACTOR_POLICY_NOT_COMPARED:
        return replace(SHORT["a user with a role asks for changes"], bug=bug)
    if bug is Bug.NEWER_THAN_STORE_KEPT:
        return replace(SHORT["the store is restored"], bug=bug)
    return Rules(
        # With a lease of one tick nothing of it is left after an election, or after a margin.
        lease_ttl=2 if drifts or bug in waits else 1,
        # Without drift no margin is needed.
        margin=int(drifts),
        election_ttl=1,
        changes=2 if bug is Bug.ACKNOWLEDGED_BY_ID else 1,
        half_open=False,
        crashes=False,
        step_downs=bug in (Bug.HANDOVER_BEFORE_OWN_WAIT, Bug.HANDOVER_RECORD_KEPT),
        stale_reads=bug in stale,
        actors=bug in (Bug.ACTOR_NOT_JUDGED, Bug.ACTOR_READ_BEFORE_WRITE),
        drifting="proxy" if drifts else "",
        bug=bug,
    )
