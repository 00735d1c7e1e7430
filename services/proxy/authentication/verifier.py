"""bcrypt off the event loop, with a bound on how much of it is waiting."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shared.errors import OverloadedError
from shared.passwords import PasswordHash, hash_password, verify_password
from shared.secret import Secret

T = TypeVar("T")


class Verifier:
    """A thread for each core: bcrypt releases the interpreter lock.

    Attributes:
        waiting: jobs that run or wait to run.
    """

    def __init__(
        self, *, threads: int, queue_limit: int, timeout_seconds: float, cost: int
    ) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._limit = self._threads + queue_limit
        self._timeout_seconds = timeout_seconds
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="bcrypt")
        self.cost = cost
        self.waiting = 0
        # What an unknown user is checked against, so that a name costs the same either way.
        self._nobody = hash_password(Secret("nobody has this password"), cost)

    async def verify(self, password: Secret[str], expected: PasswordHash | None) -> bool:
        """Whether the password is right; always False, after the same work, for None.

        Raises:
            OverloadedError: too many jobs wait, or this one has waited too long.
        """
        matches = await self._run(lambda: verify_password(password, expected or self._nobody))
        return matches and expected is not None

    async def hash(self, password: Secret[str]) -> PasswordHash:
        """Hashes a new password at the configured cost. Raises OverloadedError as above."""
        return await self._run(lambda: hash_password(password, self.cost))

    def close(self) -> None:
        """Drops what is waiting; what runs ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, job: Callable[[], T]) -> T:
        if self.waiting >= self._limit:
            raise OverloadedError("too many logins are being checked, try again later")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # Cancelling takes a job out of the queue that has not begun.
                return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        except TimeoutError:
            raise OverloadedError("checking the login took too long, try again later") from None
        finally:
            self.waiting -= 1
