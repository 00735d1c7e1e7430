"""What a relay of a test consists of, whether its connections are sockets or joined in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.policies import bounds_with, limits_with, pool_with
from vecguard.accept_loop import AcceptLoop
from vecguard.errors import VecguardError
from vecguard.proxy.http2.limits import Limits
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.bounds import Bounds
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.clients.balancers import NO_BALANCERS, BalancerPolicy
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.listener import Listener
from vecguard.proxy.relay.reception import Authorizer, Client, Gatekeeper
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Connector, Upstream

MAX_MESSAGE_BYTES = 256 * 2**20
_ROOT = Path(__file__).parents[2]


@dataclass
class ScriptedGatekeeper(Gatekeeper):
    """Admits every call as alice, unless `decide` does otherwise.

    Attributes:
        decide: what is done about a call; raises to refuse.
        seen: the authorization values of every call.
        earlier: the decision that was shown with each call.
        refused: (authorization values, address, error) of every call that was refused.
    """

    decide: Callable[[Sequence[bytes]], Awaitable[Principal]] | None = None
    seen: list[tuple[bytes, ...]] = field(default_factory=list)
    earlier: list[Principal | None] = field(default_factory=list)
    refused: list[tuple] = field(default_factory=list)

    def admit_now(
        self, authorization: Sequence[bytes], client: Client, earlier: Principal | None = None
    ) -> Principal | None:
        if self.decide is not None:
            return None
        self.seen.append(tuple(authorization))
        self.earlier.append(earlier)
        return Principal("alice", 7)

    async def admit(self, authorization: Sequence[bytes], client: Client) -> Principal:
        self.seen.append(tuple(authorization))
        if self.decide is None:
            return Principal("alice", 7)
        try:
            return await self.decide(authorization)
        except VecguardError as error:
            self.refused.append((tuple(authorization), client.host(), error))
            raise

    def refuse(self, error: Exception) -> None:
        async def decide(authorization: Sequence[bytes]) -> Principal:
            raise error

        self.decide = decide


class RelayParts:
    """A listener that does not listen yet, and the upstream of its calls.

    `request_bytes` and `answer_bytes` bound the messages of clients; `upstream` are further
    arguments of `Upstream`.
    """

    def __init__(
        self,
        backend: str,
        connect: Connector,
        *,
        gatekeeper: ScriptedGatekeeper | None = None,
        authorizer: Authorizer | None = None,
        filtering: Upstream | None = None,
        table: Mapping[bytes, Upstream] | None = None,
        request_bytes: int = MAX_MESSAGE_BYTES,
        answer_bytes: int = MAX_MESSAGE_BYTES,
        limits: Limits | None = None,
        bounds: Bounds | None = None,
        balancers: BalancerPolicy = NO_BALANCERS,
        tracer=None,
        **upstream,
    ) -> None:
        self.gatekeeper = gatekeeper or ScriptedGatekeeper()
        self.open_calls = OpenCalls()
        self.hits = limit_hits()
        self.upstream = Upstream(
            f"backend {backend}",
            connect,
            authority=backend,
            hits=self.hits,
            **{"policy": HeaderPolicy(), "pool": pool_with()} | upstream,
        )
        self.listener = Listener(
            self.gatekeeper,
            Routes(table={} if table is None else table, default=self.upstream),
            self.open_calls,
            max_request_bytes=request_bytes,
            max_answer_bytes=answer_bytes,
            limits=limits or limits_with(),
            bounds=bounds or bounds_with(),
            hits=self.hits,
            balancers=balancers,
            authorizer=authorizer,
            filtering=filtering,
            tracer=tracer,
        )


def own_tasks() -> list[asyncio.Task]:
    """Returns the running tasks of project code, without the listener's and without tests'."""
    own = (str(_ROOT / "services"), str(_ROOT / "shared"))
    codes = {task: getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()}
    return [
        task
        for task, code in codes.items()
        if code is not None
        and code.co_filename.startswith(own)
        and code is not AcceptLoop._accept.__code__
    ]
