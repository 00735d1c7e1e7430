"""Users that exist for the load only."""

import asyncio
import base64
import secrets
from collections.abc import Iterable, Sequence
from typing import Self

import grpc

from tests.load.errors import LoadError
from tests.load.target import Account, Target
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.generated.milvus.proto.common import Status
from vecguard.secret import Secret

#: What their names begin with, so that those of a run that was killed can be found again.
PREFIX = "vcload_"

_AT_A_TIME = 8
_REMOVE_SECONDS = 120.0


class LoadUsers:
    """Creates users on the target and removes every one of them again.

    Leaving it as an asynchronous context removes them. Names that could not be removed are
    in `left_over`.
    """

    def __init__(self, target: Target, administrator: Account) -> None:
        self.left_over: list[str] = []
        self._target = target
        self._administrator = administrator
        self._run = secrets.token_hex(4)
        self._names: list[str] = []
        self._creating: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing = True
        # One failure was reported already; the others say the same.
        await asyncio.gather(*self._creating, return_exceptions=True)
        self.left_over = await self._remove(self._names)

    async def create(self, count: int) -> Sequence[Account]:
        """So many new users, each with a password of its own.

        Raises:
            LoadError: the target does not create them.
        """
        accounts = [self._fresh() for _ in range(count)]
        slots = asyncio.Semaphore(_AT_A_TIME)
        tasks = {asyncio.create_task(self._create(each, slots)) for each in accounts}
        self._creating |= tasks
        # Not cancelled with this one: a creation that was sent is carried through there, and
        # could come after the removal.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
        return accounts

    async def change(self, proxy: int, account: Account, changed: Account) -> bool:
        """Let a user set a new password, that of `changed`.

        Returns:
            whether the answer says that it was set.

        Raises:
            grpc.RpcError: the call failed; it may have been set or not.
        """
        request = pb.UpdateCredentialRequest(
            username=account.username,
            old_password=_encoded(account.password),
            new_password=_encoded(changed.password),
        )
        status = await self._target.account_call(
            proxy, "UpdateCredential", bytes(request), account.header, Status.FromString
        )
        return _is_success(status)

    async def remove_left_over(self) -> tuple[int, list[str]]:
        """Remove the users of runs that were killed.

        Returns:
            how many were removed, and the names that could not be removed.
        """
        try:
            answer = await self._target.account_call(
                *(0, "ListCredUsers", b"", self._administrator.header),
                pb.ListCredUsersResponse.FromString,
            )
        except grpc.RpcError as error:
            raise _unusable(error) from error
        assert isinstance(answer, pb.ListCredUsersResponse)
        names = [name for name in answer.usernames if name.startswith(PREFIX)]
        left = await self._remove(names)
        return len(names) - len(left), left

    def _fresh(self) -> Account:
        return Account(f"{PREFIX}{self._run}_{secrets.token_hex(4)}", fresh_password())

    async def _create(self, account: Account, slots: asyncio.Semaphore) -> None:
        async with slots:
            if self._is_closing:
                return
            # Before it is sent: it may be created although no answer comes.
            self._names.append(account.username)
            request = pb.CreateCredentialRequest(
                username=account.username, password=_encoded(account.password)
            )
            try:
                status = await self._target.account_call(
                    *(self._target.next_proxy(), "CreateCredential", bytes(request)),
                    *(self._administrator.header, Status.FromString),
                )
            except grpc.RpcError as error:
                raise _unusable(error) from error
        if not _is_success(status):
            assert isinstance(status, Status)
            raise LoadError(
                f"a user for the load was not created ({status.reason}); lower the rate of "
                "`first`, or raise proxy.maxUserNum there"
            )

    async def _remove(self, names: Iterable[str]) -> list[str]:
        """Returns the names that are left."""
        left = set(names)
        slots = asyncio.Semaphore(_AT_A_TIME)

        async def remove(name: str) -> None:
            async with slots:
                request = bytes(pb.DeleteCredentialRequest(username=name))
                for _ in range(3):
                    try:
                        await self._target.account_call(
                            *(self._target.next_proxy(), "DeleteCredential", request),
                            self._administrator.header,
                        )
                    except grpc.RpcError:
                        # Repeating it is safe, and it may be under too much load yet.
                        await asyncio.sleep(0.5)
                    else:
                        # Answered: it is gone, or was never created.
                        left.discard(name)
                        return

        try:
            async with asyncio.timeout(_REMOVE_SECONDS), asyncio.TaskGroup() as tasks:
                for name in sorted(left):
                    tasks.create_task(remove(name))
        except TimeoutError:
            pass  # the remaining ones are named
        return sorted(left)


def fresh_password() -> Secret[str]:
    return Secret(secrets.token_urlsafe(12))


def _encoded(password: Secret[str]) -> str:
    return base64.b64encode(password.reveal().encode()).decode()


def _is_success(status: object) -> bool:
    assert isinstance(status, Status)
    return not status.code and not status.error_code


def _unusable(error: grpc.RpcError) -> LoadError:
    return LoadError(
        f"the target does not administer users: {error.code().name}, {error.details()}; the load "
        "needs the user and the password of an administrator"
    )
