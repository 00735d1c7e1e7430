"""Makes changes that apply only during the term, while their actor is valid, and once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

from vecguard.errors import OutcomeUnknownError, VecguardError
from vecguard.etcd import CompactedError, Compare, EtcdClient, Operation, Put
from vecguard.milvus_layout import Keys
from vecguard.root_coord.store.actors import Actors
from vecguard.root_coord.store.fence import Fence
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome
from vecguard.root_coord.store.own_writes import OwnWrites


class Refusal(Exception):  # noqa: N818 - it is an outcome, not an error
    """Ends an attempt with an outcome. Nothing was changed."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        super().__init__(outcome)
        self.mutation = Mutation(outcome, detail=detail)


class GuardedWrites:
    """Makes the transactions of one term, for the store of credentials and for that of roles."""

    def __init__(
        self,
        client: EtcdClient,
        keys: Keys,
        *,
        fence: Fence,
        own_writes: OwnWrites,
        actors: Actors,
    ) -> None:
        """Prepares writes.

        Args:
            client: the client of the etcd cluster.
            keys: where the records are.
            fence: refuses writes with LeadershipLostError once the term is over.
            own_writes: records the revision of every change.
            actors: judges the actors.
        """
        self._client = client
        self._fence = fence
        self._own_writes = own_writes
        self.standing = actors.standing
        self._mark = Put(keys.policy_mark.encode(), b"")
        policy = (keys.roles, keys.grantees, keys.grantee_ids, keys.groups)
        self._policy = tuple(prefix.encode() for prefix in policy)
        self._turn = asyncio.Lock()
        self._turn_of: asyncio.Task[Any] | None = None

    async def repeat(
        self, actor: Actor | None, attempt: Callable[[list[Compare]], Awaitable[Mutation | None]]
    ) -> Mutation:
        """Repeats a change until no other change comes between its reads and its transaction.

        Args:
            actor: who requests the change.
            attempt: gets the actor's `standing`, which its transaction must include. Returns None
                when it must be repeated; raises `Refusal`, or CompactedError for a read.
        """
        again = False
        while True:
            async with self.attempt(actor, again=again):
                standing = await self.standing(actor)
                if isinstance(standing, Outcome):
                    return Mutation(standing)
                try:
                    mutation = await attempt(standing)
                except Refusal as refusal:
                    return refusal.mutation
                except CompactedError:
                    continue
            if mutation is not None:
                return mutation
            again = True

    def attempt(self, actor: Actor | None, *, again: bool) -> AbstractAsyncContextManager[None]:
        """Returns the context of an attempt: of the actor's `standing` and of the transaction.

        An attempt whose actor depends on grants fails whenever roles, grants or groups change. If
        it is made again, other changes of these wait: while there are many, each attempt would
        fail.
        """
        if again and actor is not None and actor.policy_revision:
            return self._alone()
        return nullcontext()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._turn:
            self._turn_of = asyncio.current_task()
            try:
                await self._own_writes.ended()
                yield
            finally:
                self._turn_of = None

    async def apply(
        self, conditions: Sequence[Compare], changes: Sequence[Operation]
    ) -> Mutation | None:
        """Returns the applied change; None when a condition does not hold.

        A change of roles, grants or groups also writes the mark: see `Actors`.

        Raises:
            LeadershipLostError: the term is over. Nothing was changed.
        """
        if any(change.key.startswith(self._policy) for change in changes):
            changes = [*changes, self._mark]
            if self._turn_of is not asyncio.current_task():
                async with self._turn:
                    pass
        result = await self._own_writes.made(
            self._client.txn([*conditions, self._fence.condition], changes, [self._fence.question])
        )
        if result.succeeded:
            return Mutation(Outcome.APPLIED, result.revision)
        self._fence.require(result.responses[0])
        return None


@contextmanager
def unknown_after_a_part(has_part: Callable[[], bool]) -> Iterator[None]:
    """Raises OutcomeUnknownError for an error after a part of a change was made.

    So `Changes` revokes the older state at the proxies.
    """
    try:
        yield
    except OutcomeUnknownError:
        raise
    except VecguardError as error:
        if not has_part():
            raise
        raise OutcomeUnknownError(f"only a part of the change was made: {error.message}") from error
