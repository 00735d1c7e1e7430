"""Admits the calls of the public port: translates the authenticator's answers for the relay."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from vecguard.errors import OverloadedError, VecguardError
from vecguard.proxy.audit.audit_log import Audit, NoAudit
from vecguard.proxy.audit.event_aggregation import Refusal
from vecguard.proxy.authentication import header
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.known_login import KnownLogin
from vecguard.proxy.authentication.login_counts import LoginCounts
from vecguard.proxy.authentication.origin import origin_of
from vecguard.proxy.authentication.tarpit import Tarpit
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.proxy.relay.reception import Client, Gatekeeper
from vecguard.tls.peer import UserPattern, peer_user


class Authenticates(Protocol):
    """What the gatekeeper needs of the authenticator."""

    async def authenticate(self, values: Sequence[bytes], origin: str) -> Principal: ...

    async def vouch_for(self, username: str, origin: str) -> Principal: ...

    def recognise(
        self, values: Sequence[bytes], earlier: KnownLogin | None
    ) -> KnownLogin | None: ...


class LoginGatekeeper(Gatekeeper):
    """Admits calls with a valid login, or with a client certificate that names a user.

    Certificates count only with a pattern (`tls.userFromCertificate`), and only for calls
    without an `authorization` header: with the header, only its login is judged.
    """

    def __init__(
        self,
        authenticator: Authenticates,
        pattern: UserPattern | None = None,
        audit: Audit | None = None,
        tarpit: Tarpit | None = None,
        counts: LoginCounts | None = None,
    ) -> None:
        """`tarpit` delays the refusal of logins that are over a limit or find a full queue."""
        self._authenticator = authenticator
        self._pattern = pattern
        self._audit = audit or NoAudit()
        self._tarpit = tarpit or Tarpit(0.0)
        self._counts = counts or LoginCounts()

    def admit_now(
        self, authorization: Sequence[bytes], client: Client, earlier: Principal | None = None
    ) -> Principal | None:
        """Returns the user if the login is known already, else None: then await `admit`.

        Raises what the authenticator raises, and records each refusal.
        """
        if self._pattern is not None and not authorization:
            return None
        try:
            principal = self._authenticator.recognise(
                authorization, earlier if isinstance(earlier, KnownLogin) else None
            )
        except VecguardError as error:
            if isinstance(error, WrongCredentialsError):
                self._counts.known_wrong += 1
            self._record(authorization, client, error)
            raise
        if principal is None:
            self._counts.missed += 1
            return None
        self._counts.known += 1
        return principal

    async def admit(self, authorization: Sequence[bytes], client: Client) -> Principal:
        """Returns the user after checking the login.

        Raises what the authenticator raises, and records each refusal.
        """
        try:
            try:
                return await self._admit(authorization, client)
            except OverloadedError:
                await self._tarpit.hold()
                raise
        except VecguardError as error:
            self._record(authorization, client, error)
            raise
        except asyncio.CancelledError:
            self._counts.abandoned += 1
            raise

    async def _admit(self, authorization: Sequence[bytes], client: Client) -> Principal:
        origin = origin_of(client.host())
        if self._pattern is not None and not authorization:
            username = peer_user(self._pattern, client.certificate())
            if username is not None:
                principal = await self._authenticator.vouch_for(username, origin)
                self._counts.vouched += 1
                return principal
        principal = await self._authenticator.authenticate(authorization, origin)
        self._counts.checked += 1
        return principal

    def _record(self, authorization: Sequence[bytes], client: Client, error: VecguardError) -> None:
        self._counts.refused(error)
        self._audit.login_refused(
            Refusal(self._claimed_user(authorization, client), client.host(), error.reason)
        )

    def _claimed_user(self, authorization: Sequence[bytes], client: Client) -> str | None:
        if self._pattern is not None and not authorization:
            return peer_user(self._pattern, client.certificate())
        return header.claimed_username(authorization)


class OpenGatekeeper(Gatekeeper):
    """Admits every call as `ANONYMOUS`, for `authorizationEnabled: false`."""

    def admit_now(
        self, authorization: Sequence[bytes], client: Client, earlier: Principal | None = None
    ) -> Principal:
        """Returns `ANONYMOUS`."""
        del authorization, client, earlier
        return ANONYMOUS

    async def admit(self, authorization: Sequence[bytes], client: Client) -> Principal:
        """Returns `ANONYMOUS`."""
        return self.admit_now(authorization, client)
