"""Builds the election of the active root coord from the settings."""

import socket

from vecguard.addresses import Address
from vecguard.clock import Clock
from vecguard.config.settings import Settings
from vecguard.etcd import EtcdClient
from vecguard.milvus_layout import Keys
from vecguard.root_coord.election import Election, ElectionKeys, Observer


def election(
    settings: Settings, etcd: EtcdClient, keys: Keys, *, clock: Clock, observer: Observer
) -> Election:
    """Returns the election in which this process stands; `clock` also runs during sleep."""
    return Election(
        etcd,
        ElectionKeys.of(keys),
        address=advertised_address(settings),
        ttl_seconds=settings.election.ttl,
        lease_ttl_seconds=settings.lease.ttl,
        margin=settings.lease.margin,
        clock=clock,
        observer=observer,
    )


def advertised_address(settings: Settings) -> str:
    """Returns the address that standbys name to users; the host name if it listens everywhere.

    Proxies do not use it: they try all configured addresses.
    """
    own = settings.root_coord
    if own.advertised_address:
        return own.advertised_address
    everywhere = own.ip in {"0.0.0.0", "::"}
    return str(Address(socket.gethostname() if everywhere else own.ip, own.port))
