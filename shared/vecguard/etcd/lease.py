"""Grants, keeps alive and ends leases. A key bound to a lease vanishes with it."""

from grpclib.const import Cardinality

from vecguard.etcd.channel import Rpc
from vecguard.etcd.cluster import Access, Cluster
from vecguard.etcd.errors import EtcdRequestError, LeaseNotFoundError
from vecguard.etcd.model import LeaseGrant
from vecguard.generated import etcdserverpb as pb

_GRANT = Rpc("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse)
_REVOKE = Rpc("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse)
_KEEP_ALIVE = Rpc(
    "/etcdserverpb.Lease/LeaseKeepAlive",
    pb.LeaseKeepAliveRequest,
    pb.LeaseKeepAliveResponse,
    # One request on each stream: a keepalive then fails over and has a deadline like any
    # other call, and its answer cannot belong to an earlier one.
    Cardinality.STREAM_STREAM,
)


async def grant(cluster: Cluster, ttl_seconds: int, timeout_seconds: float | None) -> LeaseGrant:
    """Grants a new lease; see `EtcdClient.lease_grant`."""
    reply = await cluster.call(
        _GRANT,
        pb.LeaseGrantRequest(ttl=ttl_seconds),
        header=lambda reply: reply.header,
        access=Access.WRITE,
        timeout_seconds=timeout_seconds,
    )
    if reply.error:
        raise EtcdRequestError(f"etcd grants no lease: {reply.error}")
    return LeaseGrant(reply.id, reply.ttl)


async def keep_alive(cluster: Cluster, lease_id: int, timeout_seconds: float | None) -> int:
    """Returns the new time to live; see `EtcdClient.lease_keep_alive_once`."""
    reply = await cluster.call(
        _KEEP_ALIVE,
        pb.LeaseKeepAliveRequest(id=lease_id),
        header=lambda reply: reply.header,
        access=Access.REPEATABLE,
        timeout_seconds=timeout_seconds,
    )
    return max(0, reply.ttl)


async def revoke(cluster: Cluster, lease_id: int, timeout_seconds: float | None) -> None:
    """Ends a lease; see `EtcdClient.lease_revoke`."""
    try:
        await cluster.call(
            _REVOKE,
            pb.LeaseRevokeRequest(id=lease_id),
            header=lambda reply: reply.header,
            access=Access.REPEATABLE,
            timeout_seconds=timeout_seconds,
        )
    except LeaseNotFoundError:
        return
