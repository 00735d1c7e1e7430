"""The services inside the proxy, behind a relay that admits every client as alice."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from tests.support.account_service import account_service
from tests.support.credentials import Gate
from tests.support.relay import Relay, relaying
from tests.support.relay_parts import ScriptedGatekeeper
from vecguard.observability.health import HealthReport
from vecguard.proxy.accounts.methods import SERVED
from vecguard.proxy.app import (
    _HEALTH_SERVICE,
    _HEALTH_WATCH,
    _MAX_ACCOUNT_BYTES,
    _own_service,
)
from vecguard.proxy.health.service import MAX_REQUEST_BYTES, HealthService, names_a_service


@asynccontextmanager
async def own_services(
    backend_port: int,
    *,
    super_users: Collection[str] = ("alice",),
    list_gate: Gate | None = None,
    gatekeeper: ScriptedGatekeeper | None = None,
) -> AsyncIterator[Relay]:
    """Yields the running services.

    `super_users` may administer; the backend answers health checks of named services. Calls that
    list the users wait at `list_gate`.
    """
    async with account_service("alice", super_users=super_users) as (directory, accounts):
        if list_gate is not None:
            directory.list_gate = list_gate
        health = HealthService(HealthReport())
        upstreams = [
            _own_service(
                "the account service",
                accounts,
                max_request_bytes=_MAX_ACCOUNT_BYTES,
                revocable=False,
            ),
            *(
                _own_service(
                    "the health service",
                    health,
                    max_request_bytes=MAX_REQUEST_BYTES,
                    choose=lambda request, encodings: (
                        relay.upstream if names_a_service(request, encodings) else None
                    ),
                    ends_soon=ends_soon,
                )
                for ends_soon in (True, False)
            ),
        ]
        table = {
            **dict.fromkeys(SERVED, upstreams[0]),
            _HEALTH_SERVICE: upstreams[1],
            _HEALTH_WATCH: upstreams[2],
        }
        async with relaying(backend_port, table=table, gatekeeper=gatekeeper) as relay:
            try:
                yield relay
            finally:
                for upstream in upstreams:
                    upstream.close()
