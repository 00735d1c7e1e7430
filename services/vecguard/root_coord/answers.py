"""Answers requests for changes: names their actors, measures them and translates outcomes."""

from collections.abc import Callable, Coroutine
from typing import Any

from vecguard.boot_clock import boot_clock
from vecguard.errors import VecguardError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.server import current_caller
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.errors import UnnamedActorError
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome

log = get_logger(__name__)

#: Called after each change with its operation, its outcome and its duration in seconds.
Changed = Callable[[str, str, float], None]

#: Both use the same name for each outcome, so that a name that the protocol lacks is found at
#: start.
OUTCOMES = {outcome: pb.MutationOutcome[outcome.name] for outcome in Outcome}


class ChangeAnswers(pb.RootCoordBase):
    """The common part of the services that make changes."""

    def __init__(self, active: Callable[[], ActiveTerm], changed: Changed) -> None:
        """Calls `active` at each request to get the term; on standby it raises StandbyError."""
        self._active = active
        self._changed = changed
        self._unnamed = RepeatedFailure(log, "change_without_actor")

    def _actor(self, message: pb.Actor) -> Actor | None:
        """Returns the actor; None when the proxy's authorization is off.

        Raises:
            UnnamedActorError: the message names no actor and does not say that there is none.
        """
        if message.anonymous:
            return None
        if not message.username:
            error, peer = UnnamedActorError(), current_caller().peer
            # Logged once a minute for each machine, not for each of its connections.
            self._unnamed.failed(peer.rpartition(":")[0], peer=peer, error=error.message)
            raise error
        return Actor(message.username, message.revision, message.role, message.policy_revision)

    async def _answer(
        self, operation: str, change: Coroutine[Any, Any, Mutation]
    ) -> pb.MutationReply:
        began = boot_clock()
        outcome = "cancelled"
        try:
            mutation = await change
            outcome = mutation.outcome.name.lower()
        except VecguardError as error:
            outcome = error.reason
            raise
        finally:
            self._changed(operation, outcome, boot_clock() - began)
        return pb.MutationReply(
            outcome=OUTCOMES[mutation.outcome],
            revision=mutation.revision,
            detail=mutation.detail,
        )
