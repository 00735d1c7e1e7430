"""The services that a proxy answers itself, as upstreams that only its own relay can reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vecguard.grpc.call import current_caller
from vecguard.grpc.server import GrpcServer
from vecguard.grpc.transport import MAX_CONCURRENT_STREAMS
from vecguard.observability.health import HealthReport
from vecguard.proxy.accounts.methods import RESTORE, SERVED
from vecguard.proxy.accounts.service import AccountService
from vecguard.proxy.authentication.origin import origin_of
from vecguard.proxy.backend.collection_changes import MAX_REQUEST_BYTES as CHANGE_REQUEST_BYTES
from vecguard.proxy.backend.collection_changes import CollectionChangeService
from vecguard.proxy.backend.lists import MAX_REQUEST_BYTES as LIST_REQUEST_BYTES
from vecguard.proxy.backend.lists import Lists
from vecguard.proxy.health.service import MAX_REQUEST_BYTES, HealthService, names_a_service
from vecguard.proxy.identity_headers import read_caller
from vecguard.proxy.permissions.explanations import ExplanationService
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy
from vecguard.proxy.relay.upstreams.upstream import Chooser, Upstream, in_process

if TYPE_CHECKING:
    from grpclib._typing import IServable

# The client headers that our own services get, in addition to the identity headers.
_HEADERS = HeaderPolicy(
    only=frozenset((b"content-type", b"dbname", b"grpc-encoding")), shows_peer=True
)
_ROLES = b"/vecguard.v1.Roles/*"
_HEALTH_SERVICE = b"/grpc.health.v1.Health/*"
_HEALTH_WATCH = b"/grpc.health.v1.Health/Watch"
# The maximum number of calls of each of our own services that run at a time; the others wait. All
# running calls may take a step in one turn of the loop, which delays the connections.
_CALLS_AT_A_TIME = 32
# The queue of each of our own services, as of a backend. Watches, which keep their streams, get
# more connections.
_CALLS = PoolPolicy(connections=1, waiting=2000, idle_seconds=None)
_WATCHES = PoolPolicy(connections=8, waiting=2000, idle_seconds=300.0)
# Two passwords, a name and a description, each as long as can be configured, and half of the
# smallest window of a stream.
_MAX_ACCOUNT_BYTES = 32 * 1024
# A backup with some 100,000 grants. It passes to the service as it comes, since no window holds
# it; so few run at a time, each with some 100 MB.
_MAX_RESTORE_BYTES = 8 * 2**20
_RESTORES_AT_A_TIME = 2


@dataclass(frozen=True, slots=True)
class OwnServices:
    """The upstreams of the services in this process.

    Attributes:
        accounts: Milvus's account RPCs, without the next.
        restores: Milvus's RPC that restores a backup, whose request may be long.
        explanations: our own service about decisions by roles.
        health: gRPC's health service, without its watches.
        watches: the watches of the health service.
    """

    accounts: Upstream
    restores: Upstream
    explanations: Upstream
    health: Upstream
    watches: Upstream

    @property
    def table(self) -> Mapping[bytes, Upstream]:
        """The methods that are routed to them; a table for `Routes`."""
        return {
            **dict.fromkeys(SERVED, self.accounts),
            RESTORE: self.restores,
            _ROLES: self.explanations,
            _HEALTH_SERVICE: self.health,
            _HEALTH_WATCH: self.watches,
        }

    def close(self) -> None:
        """Closes their connections; open calls end as if these were lost."""
        for upstream in (
            *(self.accounts, self.restores, self.explanations),
            *(self.health, self.watches),
        ):
            upstream.close()


def open_own_services(
    accounts: AccountService,
    explanations: ExplanationService,
    report: HealthReport,
    *,
    backend: Upstream,
    is_draining: Callable[[], bool],
    forwards_authorization: bool = False,
) -> OwnServices:
    """Returns the services, connected at their first call.

    Args:
        accounts: serves the account RPCs.
        explanations: says why calls are allowed or refused.
        report: the checks that the health service answers from.
        backend: answers health requests that name a service.
        is_draining: whether the process is stopping.
        forwards_authorization: whether the backend, which may be asked about aliases for an
            explanation, gets the credentials of the caller.
    """
    health = HealthService(
        report,
        is_draining=is_draining,
        origin=lambda: origin_of(read_caller(current_caller().metadata).host),
    )

    def answers_about_health(request: bytes, encodings: Sequence[bytes]) -> Upstream | None:
        return backend if names_a_service(request, encodings) else None

    def health_upstream(*, ends_soon: bool) -> Upstream:
        return _upstream(
            "the health service",
            health,
            max_request_bytes=MAX_REQUEST_BYTES,
            choose=answers_about_health,
            pool=_CALLS if ends_soon else _WATCHES,
            calls_at_a_time=_CALLS_AT_A_TIME if ends_soon else MAX_CONCURRENT_STREAMS,
        )

    return OwnServices(
        accounts=_upstream(
            "the account service",
            accounts,
            max_request_bytes=_MAX_ACCOUNT_BYTES,
            revocable=False,
        ),
        restores=_upstream(
            "the account service",
            accounts.only_restores(),
            max_request_bytes=_MAX_RESTORE_BYTES,
            is_held=False,
            revocable=False,
            calls_at_a_time=_RESTORES_AT_A_TIME,
        ),
        explanations=_upstream(
            "the role service",
            explanations,
            max_request_bytes=_MAX_ACCOUNT_BYTES,
            policy=replace(_HEADERS, authorization=forwards_authorization),
        ),
        health=health_upstream(ends_soon=True),
        watches=health_upstream(ends_soon=False),
    )


def open_lists(lists: Lists, *, forwards_authorization: bool) -> Upstream:
    """Returns the upstream of lists that show what the caller may see, connected at its first call.

    With `forwards_authorization` the backend gets the credentials of the caller.
    """
    return _upstream(
        "the list service",
        lists,
        max_request_bytes=LIST_REQUEST_BYTES,
        policy=replace(_HEADERS, authorization=forwards_authorization),
    )


def open_collection_changes(
    changes: CollectionChangeService, *, forwards_authorization: bool
) -> Upstream:
    """Returns the upstream of drops and renames of collections, connected at its first call.

    With `forwards_authorization` the backend gets the credentials of the caller.
    """
    return _upstream(
        "the collection service",
        changes,
        max_request_bytes=CHANGE_REQUEST_BYTES,
        # The caller's only grants may be on the collection, and have no effect meanwhile.
        revocable=False,
        policy=replace(_HEADERS, authorization=forwards_authorization),
    )


def _upstream(
    name: str,
    service: "IServable",
    *,
    max_request_bytes: int,
    policy: HeaderPolicy = _HEADERS,
    is_held: bool = True,
    revocable: bool = True,
    choose: Chooser | None = None,
    pool: PoolPolicy = _CALLS,
    calls_at_a_time: int = _CALLS_AT_A_TIME,
) -> Upstream:
    """Returns an upstream for a service of this process.

    Args:
        name: for messages.
        service: the service.
        max_request_bytes: the limit of a request.
        policy: selects the client headers that it gets.
        is_held: whether a request is forwarded only when it is complete.
        revocable: see `Upstream`.
        choose: see `Upstream`.
        pool: its connections.
        calls_at_a_time: the maximum number of calls that run on one connection. Calls that have no
            end, such as watches, would keep out others.
    """
    server = GrpcServer(
        (service,), max_message_bytes=max_request_bytes, max_streams=calls_at_a_time
    )
    return Upstream(
        name,
        in_process(server),
        authority="vecguard",
        policy=policy,
        revocable=revocable,
        max_request_bytes=max_request_bytes if is_held else None,
        choose=choose,
        pool=pool,
    )
