"""A new connection for each call, as short programs make them: TCP, TLS, HTTP/2, one call."""

import itertools

from tests.load.outcome import ANSWERED, Outcome
from tests.load.scenarios.known import make_known
from tests.load.target import Account, Target
from tests.load.users import LoadUsers
from vecguard.secret import Secret


class ConnectionChurn:
    """Known logins, so that what is new is the connection only."""

    name = "churn"

    def __init__(self, target: Target, load_users: LoadUsers, users: int) -> None:
        self._target, self._load_users, self._users = target, load_users, users
        self._headers = itertools.cycle([Account("", Secret("")).header])

    async def prepare(self) -> None:
        accounts = await self._load_users.create(self._users)
        await make_known(self._target, accounts)
        self._headers = itertools.cycle([account.header for account in accounts])

    async def attempt(self) -> Outcome:
        proxy = self._target.next_proxy()
        async with self._target.channel(proxy) as channel:
            await self._target.call(proxy, next(self._headers), channel)
        return ANSWERED.at(proxy)
