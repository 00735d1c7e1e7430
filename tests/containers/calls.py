"""Calls that need a login and go on to the backend."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc

from vecguard.testing import Account, Proxy

OK = grpc.StatusCode.OK
REFUSED = grpc.StatusCode.UNAUTHENTICATED
#: A new leader waits one lease (10 s) before it acknowledges its first change.
_CALL_SECONDS = 30.0


class Caller:
    """A client with one connection to one proxy."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._call = channel.unary_unary("/milvus.proto.milvus.MilvusService/GetVersion")

    def begin(self, account: Account) -> grpc.Future:
        """Sends a call and does not wait for the answer."""
        return self._call.future(b"", metadata=account.metadata, timeout=_CALL_SECONDS)

    def answer(self, account: Account) -> grpc.StatusCode:
        """The status with which a call is answered."""
        return status_of(self.begin(account))


def status_of(call: grpc.Future) -> grpc.StatusCode:
    with suppress(grpc.RpcError):
        call.result()
    return call.code()


@contextmanager
def calling(proxy: Proxy) -> Iterator[Caller]:
    # grpc would send calls for loopback to a configured HTTP proxy.
    with grpc.insecure_channel(proxy.address, [("grpc.enable_http_proxy", 0)]) as channel:
        yield Caller(channel)


def login(proxy: Proxy, account: Account) -> grpc.StatusCode:
    """What a new client is answered."""
    with calling(proxy) as caller:
        return caller.answer(account)
