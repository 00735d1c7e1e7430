"""Who a request is from."""

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

# How often one login is judged again because its credential changed meanwhile.
_MAX_ROUNDS = 5


class Rehasher(Protocol):
    """Replaces a stored hash by another of the same password.

    Returns the new revision; None when the credential has changed meanwhile.
    """

    async def rehash(self, username: str, revision: int, password: PasswordHash) -> int | None: ...


class Authenticator:
    """Judges `authorization` values by bcrypt against root coord's record, and remembers.

    Every verdict is about one revision of a credential, and it counts only if that
    revision is still the newest known and the trust is valid at the moment of the answer.
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
        """Describes it.

        `clock` is that of `credentials` and of `trust`; `strangers` is the way of names that
        are not held: root coord is asked at a pace.
        """
        self._logins = logins
        self._credentials = credentials
        self._verifier = verifier
        self._trust = trust
        self._rehasher = rehasher
        self._clock = clock
        self._limits = limits or NoLimits(clock=clock)
        self._lookup_queue = lookup_queue
        # Apart for each origin: nobody waits in another one's line, or for its limits.
        self._checks: SingleFlight[tuple[bytes, str], None] = SingleFlight()

    async def authenticate(self, values: Sequence[bytes], origin: str = LOCAL) -> Principal:
        """The principal behind the values of the `authorization` header.

        `origin` is where the request comes from, as `origin_of` and `origin_of_user` tell
        origins apart.

        Raises:
            AuthenticationError: no valid login; one text for every wrong login.
            UnavailableError: nothing may be decided now, and it says why.
            LoginLimitedError: too many wrong logins have come from there.
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
        """The principal of a user whose identity was proven in another way.

        Raises:
            WrongCredentialsError: there is no such user.
            UnavailableError: nothing may be decided now, and it says why.
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
        """The answer of `authenticate` when it is known already; None: it must be awaited.

        `earlier` is an answer that may be the same; it is judged anew, only by less work.

        Raises like `authenticate`.
        """
        value = values[0] if len(values) == 1 else header.single_value(values)
        if earlier is not None:
            held = earlier.repeated(value)
            if held is not None:
                # What `_from_memory` asks, of a login that need not be looked up.
                now = self._clock()
                if now < held.fresh_until and self._trust.is_valid(now):
                    return earlier
        principal = self._from_memory(self._logins.digest(value))
        if principal is None:
            return None
        held = self._credentials.held_of(principal.username)
        return None if held is None else Recognition(value, held)

    def _from_memory(self, digest: bytes) -> Principal | None:
        """The verdict that is known already, if it counts. Raises like `authenticate`.

        Here a login is decided, and in `recognise` decided again: without a pause between
        looking at the revision and the trust and giving the answer.
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
        """Checks a login against the newest record known and remembers the verdict.

        Should the record change meanwhile, the verdict is about an old revision and
        counts for nothing.
        """
        epoch = self._logins.epoch
        held = None
        if self._was_judged(digest):
            # It is confirmed or refused again whatever the limits say, and without a turn: a
            # locked-out name never locks out a login that is known.
            held = await self._looked_up(login.username, digest, origin)
            if self._is_known(digest, held):
                return
        else:
            self._limits.check(origin, login.username)
            await self._decidable()
        suspicion = partial(self._limits.suspicion, origin, login.username)
        async with self._verifier.slot(origin, login.username, suspicion) as slot:
            # Others may have failed, or sent this very login, while this one waited.
            if self._logins.accepted(digest) is None:
                self._limits.check(origin, login.username)
            if held is None:
                # Not before its turn: names that nobody has are looked up as slowly as bcrypt is.
                held = await self._looked_up(login.username, digest, origin)
            if self._is_known(digest, held):
                return
            matches = await self._matches(login, held, origin, slot)
        if matches:
            held = await self._modernised(login, held)
            remember = self._logins.accept
        else:
            await self._newest(held, origin)
            remember = self._logins.refuse
        # The store may have gone back meanwhile, and its revisions be given a second time.
        if epoch == self._logins.epoch:
            remember(digest, Principal(login.username, held.revision))

    async def _matches(
        self, login: header.PresentedLogin, held: Credential, origin: str, slot: Slot
    ) -> bool:
        try:
            matches = await self._verifier.verify(login.password, held.password, slot=slot)
        except asyncio.CancelledError:
            # Hanging up does not stop bcrypt, so it costs what a wrong password costs.
            self._limits.failed(origin, login.username)
            raise
        if matches:
            self._limits.succeeded(origin, login.username)
        else:
            self._limits.failed(origin, login.username)
        return matches

    async def _looked_up(self, username: str, digest: bytes, origin: str) -> Credential:
        """The newest record, before the check and not after it.

        So a wrong password for a name that is held costs what an unknown name does: answer
        times tell nothing.
        """
        # By a guess nobody may find out that a name was held not long ago.
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
        """Looks for a newer record, in the strangers' line as well.

        So a login for a user who is held takes as long as one for a name that must be looked
        up: one fetch and then one bcrypt, however busy that line is. Whoever finds no place in
        the line is told so, held or not, because a client can fill its own.

        `or_held`: without an answer, what is held may show all the same that the login is
        right; if it does not, the look-up after the check says why there is none.
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
        """Whether this very login was judged before, at whatever revision."""
        return (self._logins.accepted(digest) or self._logins.refused(digest)) is not None

    def _is_known(self, digest: bytes, held: Credential) -> bool:
        """Whether this very login was judged at this revision before."""
        remembered = self._logins.accepted(digest) or self._logins.refused(digest)
        return remembered == Principal(held.username, held.revision)

    async def _modernised(self, login: header.PresentedLogin, held: Credential) -> Credential:
        """The credential with its hash at the configured cost; unchanged if that fails."""
        if held.password is None or held.password.cost == self._verifier.cost:
            return held
        try:
            # The login is right, so it does not wait behind guesses any more.
            origin = origin_of_user(held.username)
            password = await self._verifier.hash(login.password, origin=origin)
            revision = await self._rehasher.rehash(held.username, held.revision, password)
        except VecguardError as error:
            # The login is right all the same; the next one tries again.
            log.warning("rehash_failed", user=held.username, reason=error.reason)
            return held
        if revision is None:
            return held
        newer = Credential(held.username, password, revision, read_revision=revision)
        self._credentials.replace(held, newer)
        return newer
