"""Provides a client channel that connects within a deadline and raises our errors."""

import asyncio
import ssl
from contextlib import AbstractContextManager
from functools import partial

from grpclib.client import Channel as GrpclibChannel
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.protocol import H2Protocol

from vecguard.addresses import Address
from vecguard.errors import DeadlineError, OverloadedError, UnavailableError, VecguardError
from vecguard.grpc.failure import CallFailure, failures_as
from vecguard.grpc.transport import Protocol
from vecguard.tcp_keepalive import keep_alive

# A peer that vanishes without a FIN is detected after keepalive_time + keepalive_timeout.
_KEEPALIVE = Configuration(
    _keepalive_time=5.0,
    _keepalive_timeout=5.0,
    _keepalive_permit_without_calls=True,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=5.0,
)


class Channel(GrpclibChannel):
    """Extends grpclib's channel by a limit on connecting and on detecting a dead peer."""

    def __init__(
        self,
        address: Address,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        connect_timeout_seconds: float = 5.0,
        sends_pings: bool = True,
    ) -> None:
        """Connects at the first call.

        Args:
            address: of the server.
            tls: the context of the connection; None for a plain one.
            server_name: the name in the server's certificate; None: the address's host.
            connect_timeout_seconds: how long connecting may take.
            sends_pings: whether to send a PING every few seconds. Servers other than ours end a
                connection with many of them; there only the kernel notices a dead peer.
        """
        configuration = Configuration(
            **{
                **(vars(_KEEPALIVE) if sends_pings else {}),
                "ssl_target_name_override": server_name,
            }
        )
        self._sends_pings = sends_pings
        super().__init__(address.host, address.port, ssl=tls, config=configuration)
        # With grpclib's ASCII, one non-ASCII byte in a header ends the whole connection.
        self._h2_config.header_encoding = "latin-1"
        self._connect_timeout_seconds = connect_timeout_seconds

    def _protocol_factory(self) -> H2Protocol:
        plain = super()._protocol_factory()
        return Protocol(plain.handler, plain.config, plain.h2_config)

    async def _create_connection(self) -> H2Protocol:
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                protocol = await super()._create_connection()
        except TimeoutError as error:
            raise ConnectionError(
                f"no connection within {self._connect_timeout_seconds:g} s"
            ) from error
        if not self._sends_pings and isinstance(protocol, Protocol):
            keep_alive(protocol.raw_socket)
        return protocol


def translated_errors(peer: str) -> AbstractContextManager[None]:
    """Turns every failure of a call to `peer` into one of our errors.

    Raises:
        UnavailableError: the peer cannot be reached, hung up, or reports that it is unavailable.
        DeadlineError: it did not answer in time.
        OverloadedError: it refuses more work.
        VecguardError: any other error that the peer answered.
    """
    return failures_as(partial(_translated, peer))


def _translated(peer: str, failure: CallFailure) -> VecguardError:
    if failure.status is not None:
        return _BY_STATUS.get(failure.status, VecguardError)(f"{peer}: {failure.text}")
    if failure.is_timeout:
        return DeadlineError(f"{peer} did not answer in time")
    return UnavailableError(f"{peer} cannot be reached: {failure.text}")


_BY_STATUS: dict[Status, type[VecguardError]] = {
    Status.UNAVAILABLE: UnavailableError,
    Status.DEADLINE_EXCEEDED: DeadlineError,
    Status.RESOURCE_EXHAUSTED: OverloadedError,
}
