"""Stores of credentials and roles in etcd, without an election."""

from vecguard.etcd import Compare, EtcdClient, Put
from vecguard.milvus_layout import Keys
from vecguard.privileges.catalogue import Catalogue
from vecguard.root_coord.store.actors import Actors
from vecguard.root_coord.store.collection_changes import EtcdCollectionChanges
from vecguard.root_coord.store.etcd import EtcdCredentialStore
from vecguard.root_coord.store.fence import Fence
from vecguard.root_coord.store.guarded_writes import GuardedWrites
from vecguard.root_coord.store.own_writes import OwnWrites
from vecguard.root_coord.store.policy_reads import PolicyReads
from vecguard.root_coord.store.roles import EtcdRoleStore


async def elected(client: EtcdClient, keys: Keys) -> Fence:
    """Returns the fence of a term that begins now."""
    leader = f"leader of {keys.root}".encode()  # tests look at all that is below the root
    result = await client.txn([Compare.version(leader, "==", 0)], [Put(leader, b"me")])
    return Fence(leader, result.revision)


def fenced_store(
    client: EtcdClient, keys: Keys, fence: Fence, own_writes: OwnWrites | None = None
) -> EtcdCredentialStore:
    """Returns a store whose writes are of this term."""
    return EtcdCredentialStore(client, keys, _writes(client, keys, fence, own_writes))


def fenced_role_store(
    client: EtcdClient, keys: Keys, fence: Fence, own_writes: OwnWrites | None = None
) -> EtcdRoleStore:
    """The same for roles."""
    return EtcdRoleStore(client, keys, _writes(client, keys, fence, own_writes), Catalogue())


def fenced_collection_changes(
    client: EtcdClient, keys: Keys, fence: Fence, own_writes: OwnWrites | None = None
) -> EtcdCollectionChanges:
    """The same for drops and renames of collections."""
    return EtcdCollectionChanges(client, keys, _writes(client, keys, fence, own_writes))


async def etcd_store(client: EtcdClient, keys: Keys) -> EtcdCredentialStore:
    """Returns the store of an active root coord."""
    return fenced_store(client, keys, await elected(client, keys))


def _writes(
    client: EtcdClient, keys: Keys, fence: Fence, own_writes: OwnWrites | None
) -> GuardedWrites:
    policy = PolicyReads(client, keys, Catalogue())
    actors = Actors(client, keys, policy, changed_at=fence.term)
    return GuardedWrites(
        client, keys, fence=fence, own_writes=own_writes or OwnWrites(), actors=actors
    )
