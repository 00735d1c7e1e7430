"""Changes of passwords, each followed by a look whether the promise was kept."""

import asyncio
import time
from collections.abc import Callable

import grpc

from tests.load.outcome import ANSWERED, NOT_CHANGED, OLD_PASSWORD_ACCEPTED, Outcome, failure
from tests.load.scenarios.known import make_known
from tests.load.target import Account, Target
from tests.load.users import LoadUsers, fresh_password

#: What a proxy may say to a password that is no longer right; the second one when there were
#: too many failed logins from here.
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)


class PasswordChanges:
    """Users change their own passwords; the latency is that of the change alone.

    Once it is acknowledged, the next proxy is asked with the old password, which it knew and
    must refuse now, and with the new one, which it must accept.
    """

    name = "change"

    def __init__(
        self,
        target: Target,
        load_users: LoadUsers,
        users: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._target, self._load_users, self._users, self._clock = target, load_users, users, clock
        # One change at a time for each user, or it would be unknown which password is right.
        self._idle: asyncio.Queue[Account] = asyncio.Queue(maxsize=users)

    async def prepare(self) -> None:
        accounts = await self._load_users.create(self._users)
        await make_known(self._target, accounts)
        for account in accounts:
            self._idle.put_nowait(account)

    async def attempt(self) -> Outcome:
        account = await self._idle.get()
        changed = Account(account.username, fresh_password())
        proxy = self._target.next_proxy()
        valid = account
        try:
            try:
                is_changed = await self._load_users.change(proxy, account, changed)
            except grpc.RpcError:
                valid = await self._whichever_is_right(proxy, account, changed)
                raise
            finished = self._clock()
            if not is_changed:
                return NOT_CHANGED.at(proxy, finished=finished)
            valid = changed
            other = (proxy + 1) % len(self._target.addresses)
            return (await self._looked_at(other, account, changed)).at(proxy, finished=finished)
        finally:
            self._idle.put_nowait(valid)

    async def _looked_at(self, proxy: int, old: Account, new: Account) -> Outcome:
        try:
            await self._target.call(proxy, old.header)
        except grpc.RpcError as error:
            if error.code() not in _REFUSALS:
                return failure(error)
        else:
            return OLD_PASSWORD_ACCEPTED
        try:
            await self._target.call(proxy, new.header)
        except grpc.RpcError as error:
            return failure(error)
        return ANSWERED

    async def _whichever_is_right(self, proxy: int, old: Account, new: Account) -> Account:
        """After a change of unknown outcome."""
        try:
            await self._target.call(proxy, new.header)
        except grpc.RpcError:
            return old
        return new
