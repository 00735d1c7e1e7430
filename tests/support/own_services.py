"""The services inside the proxy, behind a relay that admits every client as alice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.account_service import account_service
from tests.support.credentials import Gate
from tests.support.relay import Relay, relaying
from tests.support.relay_parts import ScriptedGatekeeper
from vecguard.observability.health import HealthReport
from vecguard.proxy.own_services import open_own_services
from vecguard.proxy.permissions.explanations import ExplanationService


@asynccontextmanager
async def own_services(
    backend_port: int,
    *,
    list_gate: Gate | None = None,
    gatekeeper: ScriptedGatekeeper | None = None,
) -> AsyncIterator[Relay]:
    """Yields the running services.

    The backend answers health checks of named services. Calls that list the users wait at
    `list_gate`.
    """
    table = {}
    async with (
        account_service("alice") as (directory, accounts),
        relaying(backend_port, table=table, gatekeeper=gatekeeper) as relay,
    ):
        if list_gate is not None:
            directory.list_gate = list_gate
        services = open_own_services(
            accounts,
            ExplanationService(None),
            HealthReport(),
            backend=relay.upstream,
            is_draining=lambda: False,
        )
        table.update(services.table)
        try:
            yield relay
        finally:
            services.close()
