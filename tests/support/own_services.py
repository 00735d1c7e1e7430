"""The services inside the proxy, wired as there, behind a relay that admits everybody as alice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.proxy.accounts.methods import SERVED
from services.proxy.app import _HEALTH_SERVICE, _MAX_ACCOUNT_BYTES, _own_service
from services.proxy.health import MAX_REQUEST_BYTES, HealthService, names_a_service
from shared.observability.health import HealthReport
from tests.support.account_service import account_service
from tests.support.relay import Relay, relaying


@asynccontextmanager
async def own_services(backend_port: int) -> AsyncIterator[Relay]:
    """alice may administer; the backend is asked about named services."""
    async with account_service("alice", super_users=["alice"]) as (_, accounts):
        upstreams = [
            _own_service(
                "the account service",
                accounts,
                max_request_bytes=_MAX_ACCOUNT_BYTES,
                revocable=False,
            ),
            _own_service(
                "the health service",
                HealthService(HealthReport()),
                max_request_bytes=MAX_REQUEST_BYTES,
                choose=lambda request, encodings: (
                    relay.upstream if names_a_service(request, encodings) else None
                ),
            ),
        ]
        table = {**dict.fromkeys(SERVED, upstreams[0]), _HEALTH_SERVICE: upstreams[1]}
        async with relaying(backend_port, table=table) as relay:
            try:
                yield relay
            finally:
                for upstream in upstreams:
                    upstream.close()
