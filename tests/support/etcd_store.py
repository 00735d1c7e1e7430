"""Stores of credentials in etcd, without an election."""

from vecguard.etcd import Compare, EtcdClient, Put
from vecguard.milvus_layout import Keys
from vecguard.root_coord.store.etcd import EtcdCredentialStore
from vecguard.root_coord.store.fence import Fence
from vecguard.root_coord.store.own_writes import OwnWrites


async def elected(client: EtcdClient, keys: Keys) -> Fence:
    """Returns the fence of a term that begins now."""
    leader = f"leader of {keys.root}".encode()  # tests look at all that is below the root
    result = await client.txn([Compare.version(leader, "==", 0)], [Put(leader, b"me")])
    return Fence(leader, result.revision)


async def etcd_store(client: EtcdClient, keys: Keys) -> EtcdCredentialStore:
    """Returns the store of an active root coord."""
    fence = await elected(client, keys)
    return EtcdCredentialStore(client, keys, fence=fence, own_writes=OwnWrites())
