"""An authenticator with everything around it under control."""

import asyncio

import pytest

from tests.support.credentials import (
    Gate,
    ManualClock,
    ObservedVerifier,
    ScriptedSource,
    header_of,
    wide_queue,
)
from vecguard.errors import UnavailableError
from vecguard.proxy.authentication.authenticator import Authenticator
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.authentication.trust import Trust


class SwitchableTrust(Trust):
    def __init__(self):
        self.valid = True

    def is_valid(self, now=None):
        return self.valid

    async def wait(self):
        return self.valid

    def explain(self):
        return UnavailableError("no lease")


class ScriptedRehasher:
    """Root coord's compare-and-set of a hash."""

    def __init__(self, source):
        self._source = source
        self.gate = Gate()
        self.error = None
        self.rehashes = 0

    async def rehash(self, username, revision, password):
        self.rehashes += 1
        await self.gate.passed()
        if self.error is not None:
            raise self.error
        if self._source.records.get(username, (None, 0))[1] != revision:
            return None
        self._source.revision += 1
        self._source.records[username] = (password, self._source.revision)
        return self._source.revision


class LoginHarness:
    """An authenticator with everything around it under control."""

    def __init__(self, *, max_accepted=100, max_refused=100, max_known=100):
        self.clock = ManualClock()
        self.source = ScriptedSource()
        self.verifier = ObservedVerifier()
        self.trust = SwitchableTrust()
        self.rehasher = ScriptedRehasher(self.source)
        self.credentials = CredentialCache(
            self.source,
            ttl_seconds=60,
            max_known=max_known,
            max_unknown=100,
            refresh_interval_seconds=1,
            clock=self.clock,
        )
        self.logins = Logins(max_accepted=max_accepted, max_refused=max_refused, key=b"k" * 32)
        self.authenticator = Authenticator(
            logins=self.logins,
            credentials=self.credentials,
            verifier=self.verifier,
            trust=self.trust,
            rehasher=self.rehasher,
            clock=self.clock,
            lookup_queue=wide_queue(),
        )

    async def login(self, username, password):
        return await self.authenticator.authenticate([header_of(username, password)])

    def logging_in(self, username, password):
        return asyncio.create_task(self.login(username, password))

    async def refuses(self, username, password):
        with pytest.raises(WrongCredentialsError):
            await self.login(username, password)
        return True

    def change(self, username, password, **options):
        """Another password, of which this proxy has been told."""
        revision = self.source.put(username, password, **options)
        self.credentials.invalidate(username, revision)
        return revision

    def delete(self, username):
        self.credentials.invalidate(username, self.source.remove(username))
