"""Who passes the public port: the authenticator's answer in the relay's terms."""

from collections.abc import Sequence

from services.proxy.authentication.authenticator import Authenticator
from services.proxy.relay.listener import Admission, PeerCertificate
from shared.tls.peer import UserPattern, peer_user


class LoginGatekeeper:
    """Admits whoever shows a valid login, or a certificate that stands for a user.

    Certificates count only with a pattern (`tls.userFromCertificate`), and only in calls
    without an `authorization` header: a login that is shown is the one that is judged.
    """

    def __init__(self, authenticator: Authenticator, pattern: UserPattern | None = None) -> None:
        self._authenticator = authenticator
        self._pattern = pattern

    def admit_now(self, authorization: Sequence[bytes]) -> Admission | None:
        """A login that is known already. Raises what the authenticator raises."""
        if self._pattern is not None and not authorization:
            return None
        principal = self._authenticator.recognise(authorization)
        if principal is None:
            return None
        return Admission(principal.username, principal.revision)

    async def admit(
        self, authorization: Sequence[bytes], certificate: PeerCertificate
    ) -> Admission:
        """Raises what the authenticator raises."""
        if self._pattern is not None and not authorization:
            username = peer_user(self._pattern, certificate())
            if username is not None:
                principal = await self._authenticator.vouch_for(username)
                return Admission(principal.username, principal.revision)
        principal = await self._authenticator.authenticate(authorization)
        return Admission(principal.username, principal.revision)


class OpenGatekeeper:
    """Admits everybody, as nobody in particular: `authorizationEnabled: false`."""

    def admit_now(self, authorization: Sequence[bytes]) -> Admission:
        """Looks at nothing."""
        del authorization
        return _NOBODY

    async def admit(
        self, authorization: Sequence[bytes], certificate: PeerCertificate
    ) -> Admission:
        """The same."""
        del certificate
        return self.admit_now(authorization)


_NOBODY = Admission(username=None)
