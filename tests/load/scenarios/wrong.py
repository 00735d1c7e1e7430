"""Wrong passwords, another one each time, for users that exist."""

import itertools
import secrets

import grpc

from tests.load.outcome import LIMITED, REFUSED, WRONG_PASSWORD_ACCEPTED, Outcome
from tests.load.target import Account, Target
from tests.load.users import LoadUsers
from vecguard.secret import Secret

_RIGHT = {
    grpc.StatusCode.UNAUTHENTICATED: REFUSED,
    # The limits on failed logins. They answer late on purpose.
    grpc.StatusCode.RESOURCE_EXHAUSTED: LIMITED,
}


class WrongPasswords:
    name = "wrong"

    def __init__(self, target: Target, load_users: LoadUsers, users: int) -> None:
        self._target, self._load_users, self._users = target, load_users, users
        self._names = itertools.cycle([""])

    async def prepare(self) -> None:
        accounts = await self._load_users.create(self._users)
        self._names = itertools.cycle([account.username for account in accounts])

    async def attempt(self) -> Outcome:
        proxy = self._target.next_proxy()
        guess = Account(next(self._names), Secret(secrets.token_urlsafe(12)))
        try:
            await self._target.call(proxy, guess.header)
        except grpc.RpcError as error:
            if error.code() in _RIGHT:
                return _RIGHT[error.code()].at(proxy)
            raise
        return WRONG_PASSWORD_ACCEPTED.at(proxy)
