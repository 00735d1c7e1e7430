"""Authenticates requests by their `authorization` header."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from vecguard.addresses import LOCAL
from vecguard.clock import Clock
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import DeadlineError, OverloadedError, UnavailableError, VecguardError
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash
from vecguard.proxy.authentication import header
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, Slot
from vecguard.proxy.authentication.credentials import Credential, CredentialCache
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.limits import LoginLimits, NoLimits
from vecguard.proxy.authentication.logins import Logins, Principal
from vecguard.proxy.authentication.origin import origin_of_user
from vecguard.proxy.authentication.recognition import Recognition
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.usernames import is_storable

log = get_logger(__name__)

# How often one login is checked again because its credential has changed meanwhile.
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
        lookup_queue: AdmissionQueue,
        limits: LoginLimits | None = None,
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
        self._limits = limits or NoLimits(clock=clock)
        self._lookup_queue = lookup_queue
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
        for _ in range(_MAX_ROUNDS):
            principal = self._from_memory(digest)
            if principal is not None:
                return principal
            if not self._was_judged(digest):
                self._limits.check_origin(origin)
            login = header.parse(value)
            await self._checks.do((digest, origin), partial(self._judge, login, digest, origin))
        raise OverloadedError("the credential keeps changing, try again later")

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
            held = await self._held(username, origin)
            if self._credentials.peek(username) is held and self._trust.is_valid():
                if held.password is None:
                    raise WrongCredentialsError
                return Principal(username, held.revision)
        raise OverloadedError("the credential keeps changing, try again later")

    def recognise(
        self, values: Sequence[bytes], earlier: Recognition | None = None
    ) -> Recognition | None:
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
        principal = self._from_memory(self._logins.digest(value))
        if principal is None:
            return None
        held = self._credentials.held_of(principal.username)
        return None if held is None else Recognition(value, held)

    def _from_memory(self, digest: bytes) -> Principal | None:
        """Returns the remembered verdict, if it counts. Raises like `authenticate`.

        Every login is decided here, or again in `recognise`. Nothing is awaited between the
        look at the revision and the trust and the answer.
        """
        accepted = self._logins.accepted(digest)
        remembered = accepted or self._logins.refused(digest)
        if remembered is None:
            return None
        held = self._credentials.peek(remembered.username)
        if held is None or held.revision != remembered.revision or not self._trust.is_valid():
            return None
        if accepted is None:
            raise WrongCredentialsError
        return remembered

    async def _judge(self, login: header.PresentedLogin, digest: bytes, origin: str) -> None:
        """Checks a login against the newest known record, and remembers the verdict.

        If the record changes meanwhile, the verdict belongs to an old revision and does not
        count.
        """
        generation = self._logins.generation
        held = None
        if self._was_judged(digest):
            # It is confirmed or refused again without limits and without a slot, so that failures
            # with a name never lock out a known login.
            held = await self._looked_up(login.username, digest, origin)
            if self._is_known(digest, held):
                return
        else:
            self._limits.check(origin, login.username)
            await self._decidable()
        suspicion = partial(self._limits.suspicion, origin, login.username)
        async with self._verifier.slot(origin, login.username, suspicion) as slot:
            # Other requests may have failed, or sent this very login, while this one waited.
            if self._logins.accepted(digest) is None:
                self._limits.check(origin, login.username)
            if held is None:
                # Only with a slot, so that unknown names are looked up at the speed of bcrypt.
                held = await self._looked_up(login.username, digest, origin)
            if self._is_known(digest, held):
                return
            matches = await self._matches(login, held, origin, slot)
        if matches:
            held = await self._rehashed(login, held)
            remember = self._logins.accept
        else:
            await self._newest(held, origin)
            remember = self._logins.refuse
        # The store may have gone back meanwhile, and given a revision a second time.
        if generation == self._logins.generation:
            remember(digest, Principal(login.username, held.revision))

    async def _matches(
        self, login: header.PresentedLogin, held: Credential, origin: str, slot: Slot
    ) -> bool:
        try:
            matches = await self._verifier.verify(login.password, held.password, slot=slot)
        except asyncio.CancelledError:
            # Cancelling does not stop bcrypt, so it counts like a wrong password.
            self._limits.failed(origin, login.username)
            raise
        if matches:
            self._limits.succeeded(origin, login.username)
        else:
            self._limits.failed(origin, login.username)
        return matches

    async def _looked_up(self, username: str, digest: bytes, origin: str) -> Credential:
        """Returns the newest record, before the check and not after it.

        So a wrong password for a cached name takes as long as an unknown name, and answer times
        reveal nothing.
        """
        # A guess must not reveal that a name was cached not long ago.
        is_own = self._logins.accepted(digest) is not None
        held = await self._held(username, origin, by_familiarity=is_own)
        return await self._newest(held, origin, or_held=True)

    async def _decidable(self) -> None:
        """Waits for the trust, if that helps. Raises UnavailableError if it does not."""
        if not await self._trust.wait():
            raise self._trust.explain()

    async def _held(self, username: str, origin: str, *, by_familiarity: bool = True) -> Credential:
        await self._decidable()
        held = self._credentials.peek(username)
        if held is not None:
            return held
        if by_familiarity and self._credentials.is_familiar(username):
            return await self._credentials.get(username)
        async with self._lookup_slot(origin, username):
            return await self._credentials.get(username)

    def _lookup_slot(self, origin: str, username: str) -> AbstractAsyncContextManager[object]:
        suspect = self._limits.is_suspect(origin)
        return self._lookup_queue.slot(origin, name=username, suspect=suspect)

    async def _newest(self, held: Credential, origin: str, *, or_held: bool = False) -> Credential:
        """Returns the newest record after a look-up, with a slot of the look-up queue.

        So a login for a cached user takes as long as one for a name that must be looked up: one
        fetch and then one bcrypt, however busy the queue is. Without a place in the queue it
        fails for cached users as well, because a client can fill its own part of the queue.

        `or_held`: returns the cached record if root coord does not answer, because it may show
        that the login is right. If it does not, the look-up after the check raises the reason.
        """
        if not self._credentials.needs_refresh(held):
            return held
        async with self._lookup_slot(origin, held.username):
            try:
                return await self._credentials.refresh(held)
            except (UnavailableError, DeadlineError, OverloadedError):
                if or_held:
                    return held
                raise

    def _was_judged(self, digest: bytes) -> bool:
        """Returns whether this very login was checked before, at any revision."""
        return (self._logins.accepted(digest) or self._logins.refused(digest)) is not None

    def _is_known(self, digest: bytes, held: Credential) -> bool:
        """Returns whether this very login was checked before at this revision."""
        remembered = self._logins.accepted(digest) or self._logins.refused(digest)
        return remembered == Principal(held.username, held.revision)

    async def _rehashed(self, login: header.PresentedLogin, held: Credential) -> Credential:
        """Returns the credential with its hash at the configured cost; unchanged on failure."""
        if held.password is None or held.password.cost == self._verifier.cost:
            return held
        try:
            # The login is right, so it need not wait behind guesses.
            origin = origin_of_user(held.username)
            password = await self._verifier.hash(login.password, origin=origin)
            revision = await self._rehasher.rehash(held.username, held.revision, password)
        except VecguardError as error:
            # The login is right in spite of it; the next one tries again.
            log.warning("rehash_failed", user=held.username, reason=error.reason)
            return held
        if revision is None:
            return held
        newer = Credential(held.username, password, revision, read_revision=revision)
        self._credentials.replace(held, newer)
        return newer
