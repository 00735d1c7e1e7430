"""Serves the gRPC calls about drops and renames of collections."""

from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.milvus_layout.collection_changes import CollectionChange
from vecguard.root_coord.answers import ChangeAnswers
from vecguard.root_coord.collection_changes import Pending
from vecguard.root_coord.store.collection_changes import CollectionOutcome
from vecguard.root_coord.store.interface import Mutation

_OUTCOMES = {pb.CollectionOutcome[outcome.name]: outcome for outcome in CollectionOutcome}


class CollectionService(ChangeAnswers):
    """Answers the calls of proxies about drops and renames; `RoleService` has others."""

    async def begin_collection_change(
        self, begin_collection_change_request: pb.BeginCollectionChangeRequest
    ) -> pb.BeginCollectionChangeReply:
        request = begin_collection_change_request
        reply = pb.BeginCollectionChangeReply()

        async def begin() -> Mutation:
            mutation, pending = await self._active().collections.begin(
                _change(request.change), actor=self._actor(request.actor)
            )
            if pending is not None:
                reply.pending = _pending(pending)
            return mutation

        reply.mutation = await self._answer("begin_collection_change", begin())
        return reply

    async def end_collection_change(
        self, end_collection_change_request: pb.EndCollectionChangeRequest
    ) -> pb.EndCollectionChangeReply:
        request = end_collection_change_request
        reply = pb.EndCollectionChangeReply()
        outcome = _OUTCOMES.get(request.outcome)
        if outcome is None:
            raise InvalidParameterError("the outcome of the change is unknown")

        async def end() -> Mutation:
            mutation, roles = await self._active().collections.end(_change(request.change), outcome)
            reply.roles = list(roles)
            return mutation

        reply.mutation = await self._answer("end_collection_change", end())
        return reply

    async def pending_collection_changes(
        self, pending_collection_changes_request: pb.PendingCollectionChangesRequest
    ) -> pb.PendingCollectionChangesReply:
        del pending_collection_changes_request
        found = await self._active().collections.pending()
        return pb.PendingCollectionChangesReply(pending=list(map(_pending, found)))


def _change(message: pb.CollectionChange) -> CollectionChange:
    return CollectionChange(
        message.database,
        message.name,
        message.new_database,
        message.new_name,
        message.collection_id,
        message.token,
        message.proxy_id,
    )


def _pending(pending: Pending) -> pb.PendingCollectionChange:
    change = pending.change
    return pb.PendingCollectionChange(
        change=pb.CollectionChange(
            database=change.database,
            name=change.name,
            new_database=change.new_database,
            new_name=change.new_name,
            collection_id=change.collection_id,
            token=change.token,
            proxy_id=change.proxy,
        ),
        age_ms=int(pending.age_seconds * 1000),
    )
