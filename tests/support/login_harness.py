"""The proxy's authentication with everything around it under control."""

import asyncio

import pytest

from tests.support.credentials import (
    Gate,
    ManualClock,
    ScriptedSource,
    header_of,
    login_settings,
    observed_authentication,
)
from vecguard.errors import UnavailableError
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.trust import Trust


class SwitchableTrust(Trust):
    """Attributes:
    valid: whether memory may decide.
    is_bounded: whether it may without a lease, as `revocation: bounded` allows.
    """

    def __init__(self):
        self.valid = True
        self.is_bounded = False

    def has_lease(self):
        return self.valid and not self.is_bounded

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
    """The proxy's authentication with everything around it under control."""

    def __init__(self, **sections):
        self.clock = ManualClock()
        self.source = ScriptedSource()
        self.trust = SwitchableTrust()
        self.rehasher = ScriptedRehasher(self.source)
        self.authentication = observed_authentication(
            self.source,
            settings=login_settings(**sections),
            clock=self.clock,
            rehasher=self.rehasher,
            trust=self.trust,
            under_lease=self.trust.has_lease,
        )
        self.authenticator = self.authentication.authenticator
        self.credentials = self.authentication.credentials
        self.logins = self.authentication.logins
        self.verifier = self.authentication.verifier

    def close(self):
        self.authentication.close()

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
