"""One gRPC client of one proxy: calls, and what their ends mean."""

import asyncio
import base64
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import betterproto
import grpc

from tests.bench.echo import METHOD
from tests.chaos import permissions
from tests.chaos.history import Change, Decision, Outcome, Request
from tests.chaos.ledger import Permission, allows, password
from tests.chaos.permissions import AccountCall
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb

SERVICE = "/milvus.proto.milvus.MilvusService/"
ROOT, ROOT_PASSWORD = "root", "Milvus"
# Longer than any fault takes. What is not answered by then hangs.
REQUEST_BOUND_SECONDS = 15.0
CHANGE_BOUND_SECONDS = 30.0
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    # Each client has its own connection, as processes on several machines would.
    ("grpc.use_local_subchannel_pool", 1),
)
_OLD_PASSWORD_WRONG = 1400
_THERE_ALREADY = ("already exists", "is defined by users")
_OUTCOME_UNKNOWN = "outcome of the change is unknown"
# The proxy's own words, for the report; anything else is told as it is.
_REASONS = {
    "no login can be checked": "no lease",
    "this proxy has no contact": "root coord not reached",
    "root coord cannot be reached": "root coord not reached",
    "root coord at": "root coord not reached",
    "the proxy is shutting down": "proxy not reached",
    "failed to connect": "proxy not reached",
    "Socket closed": "proxy not reached",
    "recvmsg": "proxy not reached",
    "sendmsg": "proxy not reached",
    "Connection reset": "proxy not reached",
    "Broken pipe": "proxy not reached",
    "GOAWAY": "proxy not reached",
    "auth check failure": "wrong password",
    "permission deny": "no permission",
    "Internal error from Core": "ended before its request was sent",
}
# Reasons that only a proxy gives.
_OF_THE_PROXY = frozenset({"no lease", "root coord not reached"})


def authorization(user: str, secret: str) -> tuple[tuple[str, bytes], ...]:
    """The metadata of a login."""
    return (("authorization", base64.b64encode(f"{user}:{secret}".encode())),)


class Client:
    """Calls through one proxy. Every method returns when the call has ended, never raises."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._echo = self._channel.unary_unary(METHOD)
        self._search = self._channel.unary_unary(SERVICE + "Search")
        # The same method. For this client it is a stream, whose head can go before the request.
        self._slow_search = self._channel.stream_unary(SERVICE + "Search")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def request(self, user: str, version: int, *, final: bool = False) -> Request:
        """A cheap call to the backend."""
        metadata = authorization(user, password(user, version))
        sent = time.monotonic()
        reason = ""
        try:
            await self._echo(b"x", metadata=metadata, timeout=REQUEST_BOUND_SECONDS)
            decision = Decision.ACCEPTED
        except grpc.aio.AioRpcError as error:
            decision, reason = _decision(error), _reason(error)
        return Request(user, version, self.name, sent, time.monotonic(), decision, reason, final)

    async def search(
        self, permission: Permission, *, hesitation_seconds: float = 0.0, final: bool = False
    ) -> Request:
        """A call to the backend that needs the permission.

        The head of the call is sent at once, the request after some time. The call counts as sent
        with its request, because it is decided by that.
        """
        version, user = permission.version, permission.user
        request = permissions.search(permission)
        metadata = authorization(user, password(user, 0))
        sent = time.monotonic()
        reason = ""
        try:
            if hesitation_seconds:
                call = self._slow_search(metadata=metadata, timeout=REQUEST_BOUND_SECONDS)
                await call.wait_for_connection()
                await asyncio.sleep(hesitation_seconds)
                if not call.done():
                    sent = time.monotonic()
                with suppress(asyncio.InvalidStateError):  # it has ended, and `await` says how
                    await call.write(request)
                    await call.done_writing()
                await call
            else:
                await self._search(request, metadata=metadata, timeout=REQUEST_BOUND_SECONDS)
            decision = Decision.ACCEPTED
        except grpc.aio.AioRpcError as error:
            decision, reason = _decision(error), _reason(error)
        return Request(
            permission.name,
            version,
            self.name,
            sent,
            time.monotonic(),
            decision,
            reason,
            final,
            permission.subject,
        )

    async def change_permission(self, permission: Permission) -> Change:
        """Gives the permission or takes it, by root."""
        old, new = permission.attempt()
        sent = time.monotonic()
        call = permissions.change(permission, give=allows(new))
        outcome, reason = await self._account(call.method, (ROOT, ROOT_PASSWORD), call.message)
        answered = time.monotonic()
        return Change(
            permission.name,
            old,
            new,
            self.name,
            sent,
            answered,
            answered,
            outcome,
            reason,
            permission.subject,
        )

    async def attempt(self, call: AccountCall) -> str:
        """Makes this call as root. Returns why it is not done, or "" also if it was before."""
        outcome, reason = await self._account(call.method, (ROOT, ROOT_PASSWORD), call.message)
        is_done = outcome is Outcome.ACKNOWLEDGED or any(each in reason for each in _THERE_ALREADY)
        return "" if is_done else reason

    async def prepare(self, permission: Permission) -> None:
        """Makes what a permission needs, as root; repeats it until it is done."""
        for call in permissions.preparation(permission):
            await self._repeat(call)

    async def change(self, user: str, old: int, new: int, *, by_root: bool = False) -> Change:
        """Replaces a password, by the user and the old password or by root without it."""
        actor = (ROOT, ROOT_PASSWORD) if by_root else (user, password(user, old))
        sent = time.monotonic()
        outcome, reason = await self._account(
            "UpdateCredential",
            actor,
            pb.UpdateCredentialRequest(
                username=user,
                old_password="" if by_root else _encoded(password(user, old)),
                new_password=_encoded(password(user, new)),
            ),
        )
        answered = time.monotonic()
        return Change(user, old, new, self.name, sent, answered, answered, outcome, reason)

    async def create(self, user: str) -> None:
        """Creates a user with version 0, as root; repeats it until it is done."""
        message = pb.CreateCredentialRequest(username=user, password=_encoded(password(user, 0)))
        await self._repeat(AccountCall("CreateCredential", message))

    async def _repeat(self, call: AccountCall) -> None:
        reason = ""
        until = time.monotonic() + CHANGE_BOUND_SECONDS
        while time.monotonic() < until:
            reason = await self.attempt(call)
            if not reason:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{call.method}: {reason}")

    async def _account(
        self,
        method: str,
        actor: tuple[str, str],
        message: betterproto.Message,
    ) -> tuple[Outcome, str]:
        call = self._channel.unary_unary(SERVICE + method)
        try:
            answer = await call(
                bytes(message), metadata=authorization(*actor), timeout=CHANGE_BOUND_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            reason = _reason(error)
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return Outcome.FAILED, reason
            if reason == "hung":
                return Outcome.HUNG, reason
            is_open = _OUTCOME_UNKNOWN in (error.details() or "")
            not_made = reason in _OF_THE_PROXY and not is_open
            return Outcome.NOT_MADE if not_made else Outcome.UNKNOWN, reason
        status = common.Status().parse(answer)
        if not status.code:
            return Outcome.ACKNOWLEDGED, ""
        if status.code == _OLD_PASSWORD_WRONG:
            return Outcome.FAILED, "wrong password"
        return Outcome.FAILED, status.reason


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decision(error: grpc.aio.AioRpcError) -> Decision:
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return Decision.REFUSED
        case grpc.StatusCode.PERMISSION_DENIED:
            return Decision.FORBIDDEN
        case _ if _reason(error) == "hung":
            return Decision.HUNG
        case _:
            return Decision.UNAVAILABLE


def _reason(error: grpc.aio.AioRpcError) -> str:
    details = error.details() or ""
    # The client's own deadline; a deadline that the proxy has reported has another text.
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and details == "Deadline Exceeded":
        return "hung"
    for words, reason in _REASONS.items():
        if words in details:
            return reason
    return f"{error.code().name}: {details}"[:120]
