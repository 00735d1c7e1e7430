"""Sends the beginnings and ends of drops and renames of collections to root coord."""

from vecguard.concurrency.own_task import in_own_task
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.principal import Principal
from vecguard.proxy.root_coord.client import READ_TIMEOUT_SECONDS, RootCoordClient, actor_of


class CollectionChangeClient:
    """Implements `ChangeRecords`, by the session of a `RootCoordClient`."""

    def __init__(self, root_coord: RootCoordClient) -> None:
        self._root_coord = root_coord

    @property
    def proxy_id(self) -> str:
        """The name of this process."""
        return self._root_coord.proxy_id

    async def begin(
        self, change: pb.CollectionChange, *, asked_by: Principal
    ) -> pb.BeginCollectionChangeReply:
        """Begins a change; raises what `RootCoordClient.create` does."""
        actor = actor_of(asked_by)
        # Each drop changes grants, so concurrent drops would refuse each other if grants were
        # compared. A grant that is revoked later does not matter, as for every call to the backend.
        actor.policy_revision = 0
        request = pb.BeginCollectionChangeRequest(change=change, actor=actor)
        async with self._root_coord.changing("BeginCollectionChange") as root_coord:
            return await in_own_task(
                root_coord.begin_collection_change(request),
                self._root_coord.mutation_timeout_seconds,
            )

    async def end(
        self, change: pb.CollectionChange, outcome: pb.CollectionOutcome
    ) -> pb.EndCollectionChangeReply:
        """Ends a change; raises what `RootCoordClient.create` does."""
        request = pb.EndCollectionChangeRequest(change=change, outcome=outcome)
        async with self._root_coord.changing("EndCollectionChange") as root_coord:
            return await in_own_task(
                root_coord.end_collection_change(request),
                self._root_coord.mutation_timeout_seconds,
            )

    async def pending(self) -> list[pb.PendingCollectionChange]:
        """Returns all changes that have not ended. Raises UnavailableError or DeadlineError."""
        async with self._root_coord.asking("PendingCollectionChanges") as (_, root_coord):
            reply = await in_own_task(
                root_coord.pending_collection_changes(pb.PendingCollectionChangesRequest()),
                READ_TIMEOUT_SECONDS,
            )
        return reply.pending
