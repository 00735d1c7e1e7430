"""Makes the etcd client that the settings describe."""

import ssl

from vecguard.config.etcd import EtcdSettings
from vecguard.etcd.client import EtcdClient
from vecguard.etcd.cluster import Observe


def client_of(
    settings: EtcdSettings,
    tls: ssl.SSLContext | None,
    *,
    observe: Observe = lambda _method, _outcome, _seconds: None,
) -> EtcdClient:
    """Returns a client that is not connected yet.

    Args:
        settings: endpoints, login and deadline.
        tls: the TLS context of `etcd.ssl`; None for plain connections.
        observe: see `EtcdClient`.

    Raises:
        ConfigurationError: an endpoint is malformed, or user and password do not come together.
    """
    login = settings.auth
    return EtcdClient(
        settings.endpoints,
        ssl=tls,
        username=login.user_name if login.enabled else None,
        password=login.password if login.enabled else None,
        request_timeout_seconds=settings.request_timeout / 1000,
        observe=observe,
    )
