"""What clients do to a proxy all day: every kind of call, mistakes and goodbyes among them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from random import Random

import grpc
import grpc.aio

from tests.soak.call_log import CallLog
from tests.support.echo_backend import UNLIMITED, pattern
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb

OK, CANCELLED = grpc.StatusCode.OK, grpc.StatusCode.CANCELLED
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED
REFUSALS = frozenset((grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED))
_ACCOUNTS = "/milvus.proto.milvus.MilvusService/"
_OPTIONS = (
    *UNLIMITED,
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
)
# Longer than anything here may take: a call that needs it hangs, and is unexplained.
_BOUND_SECONDS = 30.0
# What grpcio says where a message is written to a call that has just ended: the status that
# the call ended with is lost to it.
_WRITE_TOO_LATE = "Internal error from Core"
_ROOT = ("root", "Milvus")
# What one user and address may get wrong in a second is limited by the proxy.
_MISTAKE_PAUSE_SECONDS = 0.2


def login(user: str, password: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call."""
    return (("authorization", base64.b64encode(f"{user}:{password}".encode()).decode()),)


class Client:
    """One user with a connection of its own, that does one thing after the other."""

    def __init__(self, name: str, address: str, call_log: CallLog, random: Random) -> None:
        self.name = name
        self._address = address
        self._call_log = call_log
        self._random = random
        self._password = "password-0"
        self._changes = 0
        # Whether the proxy has accepted the present password: from then on mistakes
        # of others may not cost this user a call.
        self._is_known = False
        self._resources = AsyncExitStack()
        self._channel: grpc.aio.Channel | None = None
        self._acts: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "unary": (60, self._unary),
            "server stream": (10, self._server_stream),
            "bidi": (8, self._bidi),
            "large": (2, self._large),
            "cancelled": (6, self._cancelled),
            "deadline": (2, self._deadline),
            "wrong password": (2, self._wrong_password),
            "change": (1, self._change),
            "reconnect": (2, self._reconnect),
            "backend's error": (4, self._error),
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Creates the user, then acts until it is stopped; an open call is finished."""
        try:
            await self._reconnect()
            await self._account(
                "CreateCredential",
                pb.CreateCredentialRequest(username=self.name, password=_coded(self._password)),
                _ROOT,
            )
            weights = [weight for weight, _ in self._acts.values()]
            acts = [act for _, act in self._acts.values()]
            while not stopping.is_set():
                [act] = self._random.choices(acts, weights)
                await act()
        finally:
            await self._close()

    async def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _reconnect(self) -> None:
        await self._close()
        self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)

    async def _judge(
        self,
        kind: str,
        call: Callable[[], Awaitable[object]],
        *,
        answers: Callable[[object], bool] = lambda _: True,
        statuses: frozenset[grpc.StatusCode] = frozenset((OK,)),
    ) -> None:
        """Makes a call and records how it ended."""
        began = self._call_log.begin(kind)
        detail, good = "", True
        try:
            answer = await call()
            status, good = OK, answers(answer)
            detail = "" if good else "a wrong answer"
        except grpc.aio.AioRpcError as error:
            status, detail = error.code(), error.details() or ""
            if detail == _WRITE_TOO_LATE:
                status = CANCELLED
        expected = status in statuses and good
        self._is_known = self._is_known or (expected and kind == "unary")
        limited = self._may_be_limited(kind, status, detail)
        self._call_log.end(kind, began, status, expected=expected, limited=limited, detail=detail)
        if not expected:
            await asyncio.sleep(0.1)  # as a client that backs off

    def _may_be_limited(self, kind: str, status: grpc.StatusCode, detail: str) -> bool:
        """Whether the proxy may have refused for the sake of the address.

        All clients share one. A change checks the old password by itself, known or not.
        """
        if self._is_known and kind != "UpdateCredential":
            return False
        return status is grpc.StatusCode.RESOURCE_EXHAUSTED or detail == _WRITE_TOO_LATE

    def _login(self, **wrong: str) -> tuple[tuple[str, str], ...]:
        return login(self.name, wrong.get("password", self._password))

    def _method(self, name: str) -> Callable[..., grpc.aio.UnaryUnaryCall]:
        assert self._channel is not None
        return self._channel.unary_unary(f"/soak.Test/{name}")

    async def _unary(self) -> None:
        payload = pattern(self._random.choice((0, 10, 500, 20_000, 100_000)))
        await self._judge(
            "unary",
            lambda: self._method("Unary")(payload, metadata=self._login(), timeout=_BOUND_SECONDS),
            answers=lambda answer: answer == payload,
        )

    async def _large(self) -> None:
        payload = pattern(self._random.randrange(2**20, 8 * 2**20))
        await self._judge(
            "large",
            lambda: self._method("Unary")(payload, metadata=self._login(), timeout=_BOUND_SECONDS),
            answers=lambda answer: answer == payload,
        )

    async def _server_stream(self) -> None:
        count = self._random.randrange(300)

        async def call() -> list[bytes]:
            assert self._channel is not None
            stream = self._channel.unary_stream("/soak.Test/ServerStream")(
                b"%d" % count, metadata=self._login(), timeout=_BOUND_SECONDS
            )
            return [message async for message in stream]

        await self._judge(
            "server stream",
            call,
            answers=lambda answer: answer == [b"%d" % number for number in range(count)],
        )

    async def _bidi(self) -> None:
        sent = [pattern(self._random.randrange(5000)) for _ in range(20)]

        async def call() -> list[bytes]:
            assert self._channel is not None
            stream = self._channel.stream_stream("/soak.Test/Bidi")(
                iter(sent), metadata=self._login(), timeout=_BOUND_SECONDS
            )
            return [message async for message in stream]

        await self._judge("bidi", call, answers=lambda answer: answer == sent)

    async def _cancelled(self) -> None:
        """Leaves in the middle of an endless answer, or before there is one."""
        method = self._random.choice(("Endless", "Silent", "Open"))
        began = self._call_log.begin("cancelled")
        assert self._channel is not None
        call = self._channel.unary_stream(f"/soak.Test/{method}")(
            b"x", metadata=self._login(), timeout=_BOUND_SECONDS
        )
        try:
            if method == "Silent":
                await asyncio.sleep(self._random.random() * 0.05)
            else:
                await call.read()
        except grpc.aio.AioRpcError:
            pass  # judged by its status, below
        call.cancel()
        status = await call.code()
        detail = await call.details() or ""
        self._call_log.end(
            "cancelled",
            began,
            status,
            expected=status is CANCELLED,
            limited=self._may_be_limited("cancelled", status, detail),
            detail=detail,
        )

    async def _deadline(self) -> None:
        await self._judge(
            "deadline",
            lambda: self._method("Silent")(b"", metadata=self._login(), timeout=0.1),
            statuses=frozenset((DEADLINE_EXCEEDED,)),
        )

    async def _error(self) -> None:
        await self._judge(
            "backend's error",
            lambda: self._method("Fail")(
                b"NOT_FOUND", metadata=self._login(), timeout=_BOUND_SECONDS
            ),
            statuses=frozenset((grpc.StatusCode.NOT_FOUND,)),
        )

    async def _wrong_password(self) -> None:
        wrong = f"wrong-{self._random.randrange(10**6)}"
        await self._judge(
            "wrong password",
            lambda: self._method("Unary")(
                b"", metadata=self._login(password=wrong), timeout=_BOUND_SECONDS
            ),
            statuses=REFUSALS,
        )
        await asyncio.sleep(_MISTAKE_PAUSE_SECONDS)

    async def _change(self) -> None:
        """Another password; from then on the old one is refused."""
        old, self._changes = self._password, self._changes + 1
        new = f"password-{self._changes}"
        changed = await self._account(
            "UpdateCredential",
            pb.UpdateCredentialRequest(
                username=self.name, old_password=_coded(old), new_password=_coded(new)
            ),
            (self.name, old),
        )
        if changed:
            self._password, self._is_known = new, False
            await self._judge(
                "old password",
                lambda: self._method("Unary")(
                    b"", metadata=self._login(password=old), timeout=_BOUND_SECONDS
                ),
                statuses=REFUSALS,
            )
            await self._unary()

    async def _account(
        self,
        method: str,
        message: pb.CreateCredentialRequest | pb.UpdateCredentialRequest,
        actor: tuple[str, str],
    ) -> bool:
        assert self._channel is not None
        call = self._channel.unary_unary(_ACCOUNTS + method)
        done = []

        def judged(answer: object) -> bool:
            assert isinstance(answer, bytes)
            done.append(not common.Status().parse(answer).code)
            return done[0]

        await self._judge(
            method,
            lambda: call(bytes(message), metadata=login(*actor), timeout=_BOUND_SECONDS),
            answers=judged,
        )
        return done == [True]


def _coded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()
