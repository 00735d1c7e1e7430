"""Parts for tests of logins: a manual clock, a scripted root coord, cheap hashes, a gate."""

import asyncio
import base64
import functools
from collections import Counter
from collections.abc import Sequence

from vecguard.config import Settings
from vecguard.passwords import PasswordHash, hash_password
from vecguard.proxy.authentication.configured import (
    Authentication,
    open_authentication,
    open_verifier,
)
from vecguard.proxy.authentication.credentials import Credential
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.proxy.authorization.policy import Grant, RolePolicy
from vecguard.proxy.permissions.role_cache import RoleCache, RolesRead
from vecguard.proxy.revocation.trust import BoundedTrust
from vecguard.secret import Secret

CHEAP = 4


def hashed(password: str, cost: int = CHEAP) -> PasswordHash:
    """Returns the hash of a password; the same at each call."""
    return _hashed(password, cost)


@functools.cache
def _hashed(password: str, cost: int) -> PasswordHash:
    return hash_password(Secret(password), cost)


def header_of(username: str, password: str) -> bytes:
    return base64.b64encode(f"{username}:{password}".encode())


def encoded(password: str) -> str:
    """Returns a password as account requests carry it."""
    return base64.b64encode(password.encode()).decode()


class ManualClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Gate:
    """Holds up tasks while it is closed; it is open at first."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._arrival = asyncio.Condition()
        self.waiting = 0

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        self.waiting += 1
        try:
            async with self._arrival:
                self._arrival.notify_all()
            await self._open.wait()
        finally:
            self.waiting -= 1

    async def arrivals(self, count: int = 1) -> None:
        """Returns when this many tasks wait here; fails if they do not arrive in time."""
        async with asyncio.timeout(10), self._arrival:
            await self._arrival.wait_for(lambda: self.waiting >= count)


class ScriptedSource:
    """Root coord as a proxy sees it. A read returns the records of the moment at which it began."""

    def __init__(self) -> None:
        self.revision = 100
        self.records: dict[str, tuple[PasswordHash, int]] = {}
        self.roles: dict[str, tuple[str, ...]] = {}
        self.grants: dict[str, list[Grant]] = {}
        self.role_fetches: Counter[tuple[str, ...]] = Counter()
        self.fetches: Counter[str] = Counter()
        self.gate = Gate()
        self.error: Exception | None = None

    def put(self, username: str, password: str, *, cost: int = CHEAP) -> int:
        self.revision += 1
        self.records[username] = (hashed(password, cost), self.revision)
        return self.revision

    def remove(self, username: str) -> int:
        self.revision += 1
        self.records.pop(username, None)
        return self.revision

    async def fetch(self, username: str) -> Credential:
        self.fetches[username] += 1
        password, revision = self.records.get(username, (None, 0))
        credential = Credential(
            username,
            password,
            revision,
            read_revision=self.revision,
            roles=self.roles.get(username, ()),
        )
        await self.gate.passed()
        if self.error is not None:
            raise self.error
        return credential

    def give(self, username: str, *roles: str) -> int:
        """Sets the roles of a user."""
        self.revision += 1
        self.roles[username] = tuple(sorted(roles))
        return self.revision

    def grant(self, role: str, *grants: Grant) -> int:
        """Sets the grants of a role."""
        self.revision += 1
        self.grants[role] = list(grants)
        return self.revision

    async def fetch_roles(self, names: Sequence[str]) -> RolesRead:
        self.role_fetches[tuple(names)] += 1
        found = [name for name in names if name in self.grants]
        read = RolesRead(
            self.revision,
            [RolePolicy(name, self.grants[name], {}) for name in found],
            sum(len(self.grants[name]) for name in found),
        )
        await self.gate.passed()
        if self.error is not None:
            raise self.error
        return read


class ObservedVerifier:
    """Counts the checks of a real verifier. A closed gate holds up its answers."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self.checks = 0
        self.gate = Gate()

    def __getattr__(self, name: str) -> object:
        return getattr(self._verifier, name)

    async def verify(self, password: Secret[str], expected: PasswordHash | None, **options) -> bool:
        self.checks += 1
        matches = await self._verifier.verify(password, expected, **options)
        await self.gate.passed()
        return matches


class NoRehash:
    """Replaces no stored hash."""

    async def rehash(self, username, revision, password):
        return None


def login_settings(*, authentication=None, **sections) -> Settings:
    """Returns the defaults with cheap hashes and two threads, and with these changes."""
    cheap = {"bcrypt_cost": CHEAP, "verifier_threads": 2}
    return Settings(authentication=cheap | (authentication or {}), **sections)


def observed_authentication(
    source, *, settings=None, clock, rehasher=None, trust=None, under_lease=lambda: False
) -> Authentication:
    """Returns the proxy's authentication with an observed verifier.

    Without `trust` it always trusts its memory. `source` takes the place of root coord.
    """
    settings = settings or login_settings()
    return open_authentication(
        settings,
        source=source,
        rehasher=rehasher or NoRehash(),
        trust=trust or BoundedTrust(),
        under_lease=under_lease,
        verifier=ObservedVerifier(open_verifier(settings, clock=clock)),
        clock=clock,
    )


def role_cache(source, *, clock, ttl_seconds: float = 60.0, under_lease=lambda: False, **options):
    """Returns a cache of roles that are read from `source`, as in `ScriptedSource`."""
    return RoleCache(
        source, ttl_seconds=ttl_seconds, clock=clock, under_lease=under_lease, **options
    )
