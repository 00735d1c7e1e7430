"""Judges who requests a change: whether the actor is still the user that a proxy admitted."""

from vecguard.etcd import CompactedError, Compare, EtcdClient, Get, KeyValue
from vecguard.etcd.reads import Reads
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.privileges.catalogue import PUBLIC
from vecguard.root_coord.store.interface import Actor, Outcome
from vecguard.root_coord.store.policy_reads import PolicyReads
from vecguard.root_coord.store.role_interface import RolesAndGroups


class Actors:
    """Finds the conditions under which an actor may still make a change."""

    def __init__(
        self, client: EtcdClient, keys: Keys, policy: PolicyReads, *, changed_at: int
    ) -> None:
        """`policy` reads which grants the role of an actor has, and had.

        `changed_at` is the revision at which the term began: this term gets no notice of changes
        that others made before.
        """
        self._reads = Reads(client)
        self._keys = keys
        self._policy = policy
        self._mark = keys.policy_mark.encode()
        self._changed_at = changed_at

    def policy_changed_at(self, revision: int) -> None:
        """Records that another program, which does not write the mark, has changed the policy."""
        self._changed_at = max(self._changed_at, revision)

    async def standing(self, actor: Actor | None) -> list[Compare] | Outcome:
        """Returns the comparisons by which a transaction applies only while the actor is valid.

        Returns why no change may be made if it is not:
            ACTOR_REVOKED: it was deleted or has another password. A record that was rewritten with
                the same password (another hash of it, or another description) is still valid.
            ACTOR_RIGHTS_CHANGED: it was admitted by a role that it has no more, or that has lost a
                grant.
        """
        if actor is None:
            return []
        user = self._keys.user(actor.username).encode()
        mapping = self._keys.mapping(actor.username, actor.role).encode()
        gets = [Get(user)]
        if actor.role:
            gets += [Get(mapping, keys_only=True), Get(self._mark, keys_only=True)]
        read = await self._reads.at_once(gets)
        users, *of_role = read.value
        if not users:
            return Outcome.ACTOR_REVOKED
        stored = users[0]
        since = readable_record(stored).password_since(stored.mod_revision)
        if not since <= actor.revision <= stored.mod_revision:
            return Outcome.ACTOR_REVOKED
        conditions = [Compare.mod_revision(user, "==", stored.mod_revision)]
        if actor.role:
            mappings, marks = of_role
            marked = marks[0].mod_revision if marks else 0
            # Every user has the role public.
            if actor.role != PUBLIC:
                conditions.append(Compare.version(mapping, ">", 0))
            if actor.policy_revision:
                conditions.append(Compare.mod_revision(self._mark, "==", marked))
            has_role = bool(mappings) or actor.role == PUBLIC
            if not has_role or not await self._has_kept_grants(actor, marked, read.revision):
                return Outcome.ACTOR_RIGHTS_CHANGED
        return conditions

    async def _has_kept_grants(self, actor: Actor, marked: int, now: int) -> bool:
        """Returns whether the role has at revision `now` the grants that admitted the actor."""
        if not actor.policy_revision:
            return True
        if max(marked, self._changed_at) <= actor.policy_revision <= now:
            return True
        if actor.policy_revision > now:  # of a store that was replaced
            return False
        try:
            before, after = [
                await self._policy.get_roles([actor.role], revision=revision)
                for revision in (actor.policy_revision, now)
            ]
        except CompactedError:
            return False
        return _granted(before.value) <= _granted(after.value)


def _granted(read: RolesAndGroups) -> set[tuple[str, ...]]:
    """Returns all that allows something, without descriptions and grantors."""
    grants = {
        (role.name, grant.object_type, grant.database, grant.object, grant.privilege)
        for role in read.roles
        for grant in role.grants
    }
    members = {(group.name, member) for group in read.groups for member in group.privileges}
    return grants | members


def readable_record(stored: KeyValue) -> Record:
    """Returns a user's record; one without a password when it cannot be read.

    An administrator repairs such a record by a reset of the password.
    """
    try:
        return Record.decode(stored.value)
    except CorruptRecordError:
        return Record({})
