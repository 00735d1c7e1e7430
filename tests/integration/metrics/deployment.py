"""etcd, root coord and a proxy before an echo backend, as real processes."""

import base64
from dataclasses import dataclass

import grpc
import grpc.aio

from deploy.local.stack import LocalStack
from tests.support.credentials import header_of
from tests.support.echo_backend import EchoBackend
from tests.support.metrics import Exposition, scrape
from vecguard.generated.milvus.proto import milvus as pb

ROOT = ("root", "Milvus")
_SECONDS = 20.0
_SERVICE = "/milvus.proto.milvus.MilvusService/"


@dataclass
class Deployment:
    stack: LocalStack
    backend: EchoBackend
    channel: grpc.aio.Channel

    @property
    def operations(self) -> str:
        return self.stack.proxies[0].operations_address

    async def metrics(self) -> Exposition:
        return await scrape(self.operations)

    async def code(
        self,
        method: str = "/test.Echo/Unary",
        payload: bytes = b"",
        *,
        login: tuple[str, str] | None = ROOT,
        value: bytes | None = None,
    ) -> str:
        """How a call ends. `value` goes as the authorization header as it is."""
        if value is None and login is not None:
            value = header_of(*login)
        metadata = () if value is None else (("authorization", value.decode()),)
        call = self.channel.unary_unary(method)(payload, metadata=metadata, timeout=_SECONDS)
        return str((await call.code()).name)

    def started(
        self, method: str, payload: bytes = b"", *, login: tuple[str, str] = ROOT
    ) -> grpc.aio.UnaryStreamCall:
        """A call that answers with a stream."""
        metadata = (("authorization", header_of(*login).decode()),)
        return self.channel.unary_stream(method)(payload, metadata=metadata, timeout=_SECONDS)

    async def create_user(self, username: str, password: str) -> None:
        request = pb.CreateCredentialRequest(username=username, password=_encoded(password))
        await self._change("CreateCredential", bytes(request))

    async def change_password(self, username: str, old: str, new: str) -> None:
        request = pb.UpdateCredentialRequest(
            username=username, old_password=_encoded(old), new_password=_encoded(new)
        )
        await self._change("UpdateCredential", bytes(request))

    async def _change(self, method: str, request: bytes) -> None:
        call = self.channel.unary_unary(_SERVICE + method)(
            request, metadata=(("authorization", header_of(*ROOT).decode()),), timeout=_SECONDS
        )
        answer = await call
        assert answer == b"", answer


def _encoded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()
