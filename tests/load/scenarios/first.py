"""Right passwords that a proxy has not seen: each costs it a read and a bcrypt."""

import math
from collections import deque

from tests.load.errors import LoadError
from tests.load.outcome import ANSWERED, Outcome
from tests.load.target import Account, Target
from tests.load.users import LoadUsers

#: More than the Poisson arrivals of a run can need, but for one run in a million.
_SPREAD = 5.0
_MOST_USERS = 5000


class FirstLogins:
    """Each user logs in once at each proxy, so the users are as many as the attempts need."""

    name = "first"

    def __init__(self, target: Target, load_users: LoadUsers, expected: float) -> None:
        self._target, self._load_users = target, load_users
        attempts = expected + _SPREAD * math.sqrt(expected) + 1
        self._users = math.ceil(attempts / len(target.addresses))
        self._ready: deque[tuple[int, Account]] = deque()

    async def prepare(self) -> None:
        if self._users > _MOST_USERS:
            raise LoadError(
                f"so many first logins need {self._users} users, and {_MOST_USERS} are the most; "
                "lower the rate of `first`, or --seconds"
            )
        accounts = await self._load_users.create(self._users)
        proxies = range(len(self._target.addresses))
        self._ready.extend((proxy, account) for account in accounts for proxy in proxies)

    async def attempt(self) -> Outcome:
        proxy, account = self._ready.popleft()
        await self._target.call(proxy, account.header)
        return ANSWERED.at(proxy)
