"""Logins that the proxies have in memory: the path that nearly every call takes."""

import itertools
from collections.abc import Sequence

import grpc

from tests.load.errors import LoadError
from tests.load.outcome import ANSWERED, Outcome
from tests.load.target import Account, Target
from tests.load.users import LoadUsers
from vecguard.secret import Secret


async def make_known(target: Target, accounts: Sequence[Account]) -> None:
    """Logs every user in at every proxy, so that later logins need no bcrypt there.

    Raises:
        LoadError: a right password was not accepted, or the call is not answered.
    """
    for proxy in range(len(target.addresses)):
        for account in accounts:
            try:
                await target.call(proxy, account.header)
            except grpc.RpcError as error:
                raise LoadError(
                    f"{target.addresses[proxy]} does not answer {target.method}: "
                    f"{error.code().name}, {error.details()}; --method names another call"
                ) from error


class KnownLogins:
    """Calls of a few users over connections that stay open."""

    name = "known"

    def __init__(self, target: Target, load_users: LoadUsers, users: int) -> None:
        self._target, self._load_users, self._users = target, load_users, users
        self._headers = itertools.cycle([Account("", Secret("")).header])

    async def prepare(self) -> None:
        accounts = await self._load_users.create(self._users)
        await make_known(self._target, accounts)
        self._headers = itertools.cycle([account.header for account in accounts])

    async def attempt(self) -> Outcome:
        proxy = self._target.next_proxy()
        await self._target.call(proxy, next(self._headers))
        return ANSWERED.at(proxy)
