"""Authenticates requests by their `authorization` header."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from vecguard.addresses import LOCAL
from vecguard.clock import Clock
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import OverloadedError, VecguardError
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash
from vecguard.proxy.authentication import header
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, Slot
from vecguard.proxy.authentication.credentials import Credential, CredentialCache, Held
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.header import PresentedLogin
from vecguard.proxy.authentication.known_login import KnownLogin
from vecguard.proxy.authentication.limits import LoginLimits
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.authentication.lookups import Lookups, Standing
from vecguard.proxy.authentication.origin import origin_of_user
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.proxy.principal import Principal
from vecguard.secret import Secret
from vecguard.usernames import is_storable

log = get_logger(__name__)

# How many times one login is checked again because its credential has changed meanwhile.
_MAX_ROUNDS = 5


class Rehasher(Protocol):
    """Replaces a stored hash by another hash of the same password.

    Returns the new revision, or None if the credential has changed meanwhile.
    """

    async def rehash(self, username: str, revision: int, password: PasswordHash) -> int | None: ...


class Authenticator:
    """Checks logins by bcrypt against root coord's records, and remembers the verdicts.

    A verdict belongs to one revision of a credential. It counts only if that revision is the
    newest known one and the trust is valid at the moment of the answer.
    """

    def __init__(
        self,
        *,
        logins: Logins,
        credentials: CredentialCache,
        verifier: Verifier,
        trust: Trust,
        rehasher: Rehasher,
        clock: Clock,
        limits: LoginLimits,
        lookup_queue: AdmissionQueue,
    ) -> None:
        """Takes the parts.

        `clock` is the clock of `credentials` and `trust`. `lookup_queue` paces the look-ups at
        root coord of users that are not cached.
        """
        self._logins = logins
        self._credentials = credentials
        self._verifier = verifier
        self._trust = trust
        self._rehasher = rehasher
        self._clock = clock
        self._limits = limits
        self._lookups = Lookups(credentials, limits, lookup_queue)
        # By origin as well, so that no origin depends on the queue or the limits of another one.
        self._checks: SingleFlight[tuple[bytes, str], None] = SingleFlight()

    async def authenticate(self, values: Sequence[bytes], origin: str = LOCAL) -> Principal:
        """Returns the principal of the values of the `authorization` header.

        `origin` is the origin of the request, from `origin_of` or `origin_of_user`.

        Raises:
            AuthenticationError: there is no valid login; one text for every wrong login.
            UnavailableError: no login can be decided now, for the reason in its text.
            LoginLimitedError: the origin or the name has failed too often.
            OverloadedError: too many logins are being checked.
        """
        value = header.single_value(values)
        digest = self._logins.digest(value)
        held = self._from_memory(digest)
        if held is not None:
            return held.credential.principal
        return await self._decide(digest, partial(header.parse, value), origin)

    async def check_password(
        self, username: str, password: Secret[str], origin: str = LOCAL
    ) -> Principal:
        """Returns the principal of a user after checking the password.

        It is remembered, limited and counted like a login. Raises like `authenticate`.
        """
        if not is_storable(username):
            raise WrongCredentialsError
        login = PresentedLogin(username, password)
        return await self._decide(
            self._logins.digest(header.value_of(login)), lambda: login, origin
        )

    async def vouch_for(self, username: str, origin: str = LOCAL) -> Principal:
        """Returns the principal of a user whose identity was proven in another way.

        Raises:
            WrongCredentialsError: there is no such user.
            UnavailableError: no login can be decided now, for the reason in its text.
            OverloadedError: the credential keeps changing, or too many names are looked up.
        """
        if not is_storable(username):
            raise WrongCredentialsError
        for _ in range(_MAX_ROUNDS):
            record = await self._record(username, origin, Standing.VOUCHED)
            if self._credentials.peek(username) is record and self._trust.is_valid():
                # Not from the cache again: the record may have expired since the line above.
                if record.password is None:
                    raise WrongCredentialsError
                return record.principal
        raise OverloadedError("the credential keeps changing, try again later")

    def recognise(
        self, values: Sequence[bytes], earlier: KnownLogin | None = None
    ) -> KnownLogin | None:
        """Returns the answer of `authenticate` if it is known; None: await `authenticate`.

        `earlier` is an answer that may be the same one; checking it again takes less work.

        Raises like `authenticate`.
        """
        value = values[0] if len(values) == 1 else header.single_value(values)
        if earlier is not None:
            held = earlier.repeated(value)
            if held is not None:
                # The conditions of `_from_memory`, without looking the login up.
                now = self._clock()
                if now < held.fresh_until and self._trust.is_valid(now):
                    return earlier
        held = self._from_memory(self._logins.digest(value))
        return None if held is None else KnownLogin(value, held)

    async def _decide(
        self, digest: bytes, parse: Callable[[], PresentedLogin], origin: str
    ) -> Principal:
        """Returns the principal of a login. Raises like `authenticate`.

        `parse` returns the login, and is called only if no verdict is remembered.
        """
        for _ in range(_MAX_ROUNDS):
            held = self._from_memory(digest)
            if held is not None:
                return held.credential.principal
            if not self._was_judged(digest):
                self._limits.check_origin(origin)
            login = parse()
            await self._checks.do((digest, origin), partial(self._judge, login, digest, origin))
        raise OverloadedError("the credential keeps changing, try again later")

    def _from_memory(self, digest: bytes) -> Held | None:
        """Returns the record that proves the login, if it was accepted and the verdict counts.

        Every login is decided here, or again in `recognise`. Nothing is awaited between the
        look at the revision and the trust and the answer. Raises like `authenticate`.
        """
        accepted = self._logins.accepted(digest)
        if accepted is not None:
            held = self._credentials.held_of(accepted.username)
            if held is None or held.credential.revision != accepted.revision:
                return None
            return held if self._trust.is_valid() else None
        refused = self._logins.refused(digest)
        if refused is not None:
            record = self._credentials.peek(refused.username)
            is_current = record is not None and record.revision == refused.revision
            if is_current and self._trust.is_valid():
                raise WrongCredentialsError
        return None

    async def _judge(self, login: PresentedLogin, digest: bytes, origin: str) -> None:
        """Checks a login against the newest known record, and remembers the verdict.

        If the record changes meanwhile, the verdict belongs to an old revision and does not
        count.
        """
        generation = self._logins.generation
        username = login.username
        record = None
        if self._was_judged(digest):
            # It is confirmed or refused again without limits and without a slot, so that failures
            # with a name never lock out a known login.
            record = await self._record(username, origin, self._standing(digest))
            if self._is_known(digest, record):
                return
        else:
            self._limits.check(origin, username)
            await self._trust.require()
        suspicion = partial(self._limits.suspicion, origin, username)
        async with self._verifier.slot(origin, username, suspicion) as slot:
            # Other requests may have failed, or sent this very login, while this one waited.
            if self._logins.accepted(digest) is None:
                self._limits.check(origin, username)
            if record is None:
                # Only with a slot, so that unknown names are looked up at the speed of bcrypt.
                # Before the check and not after it: so a wrong password for a cached name takes
                # as long as an unknown name, and answer times reveal nothing.
                record = await self._record(username, origin, self._standing(digest))
            if self._is_known(digest, record):
                return
            matches = await self._matches(login, record, origin, slot)
        if matches:
            record = await self._rehashed(login, record)
            remember = self._logins.accept
        else:
            await self._lookups.record(username, origin, Standing.WRONG)
            remember = self._logins.refuse
        # The store may have gone back meanwhile, and given a revision a second time.
        if generation == self._logins.generation:
            remember(digest, record.principal)

    async def _record(self, username: str, origin: str, standing: Standing) -> Credential:
        """Returns the record to check a login against. Raises like `authenticate`."""
        await self._trust.require()
        return await self._lookups.record(username, origin, standing)

    def _standing(self, digest: bytes) -> Standing:
        was_right = self._logins.accepted(digest) is not None
        return Standing.RIGHT_BEFORE if was_right else Standing.UNPROVEN

    async def _matches(
        self, login: PresentedLogin, record: Credential, origin: str, slot: Slot
    ) -> bool:
        try:
            matches = await self._verifier.verify(login.password, record.password, slot=slot)
        except asyncio.CancelledError:
            # Cancelling does not stop bcrypt, so it counts like a wrong password.
            self._limits.failed(origin, login.username)
            raise
        if matches:
            self._limits.succeeded(origin, login.username)
        else:
            self._limits.failed(origin, login.username)
        return matches

    def _was_judged(self, digest: bytes) -> bool:
        """Returns whether this very login was checked before, at any revision."""
        return (self._logins.accepted(digest) or self._logins.refused(digest)) is not None

    def _is_known(self, digest: bytes, record: Credential) -> bool:
        """Returns whether this very login was checked before at this revision."""
        remembered = self._logins.accepted(digest) or self._logins.refused(digest)
        return remembered is not None and remembered.revision == record.revision

    async def _rehashed(self, login: PresentedLogin, record: Credential) -> Credential:
        """Returns the credential with its hash at the configured cost; unchanged on failure."""
        if record.password is None or record.password.cost == self._verifier.cost:
            return record
        try:
            # The login is right, so it need not wait behind guesses.
            origin = origin_of_user(record.username)
            password = await self._verifier.hash(login.password, origin=origin)
            revision = await self._rehasher.rehash(record.username, record.revision, password)
        except VecguardError as error:
            # The login is right in spite of it; the next one tries again.
            log.warning("rehash_failed", user=record.username, reason=error.reason)
            return record
        if revision is None:
            return record
        # Still at the old `read_revision`: the roles were read then.
        newer = replace(record, password=password, revision=revision)
        self._credentials.replace(record, newer)
        return newer
