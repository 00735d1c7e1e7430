"""Builds what this proxy asks the backend with, from the settings."""

import ssl

from vecguard.addresses import Address
from vecguard.config.settings import Settings
from vecguard.grpc.channel import Channel
from vecguard.proxy.backend.client import BackendClient


def backend_client(settings: Settings, tls: ssl.SSLContext | None) -> BackendClient:
    """Returns a client of the backend. It connects at its first call.

    Args:
        settings: all settings.
        tls: the context of the connection; None for a plain one.

    Raises:
        ConfigurationError: the address cannot be read.
    """
    backend = settings.backend
    channel = Channel(
        Address.parse(backend.address),
        tls=tls,
        connect_timeout_seconds=backend.connect_timeout,
        sends_pings=False,
    )
    return BackendClient(
        channel,
        f"backend {backend.address}",
        forwards_authorization=settings.proxy.forward_authorization,
    )
