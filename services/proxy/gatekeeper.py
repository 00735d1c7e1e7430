"""Who passes the public port: the authenticator's answer in the relay's terms."""

from collections.abc import Sequence

from services.proxy.authentication.authenticator import Authenticator
from services.proxy.relay.listener import Admission


class LoginGatekeeper:
    """Admits whoever shows a valid login."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def admit_now(self, authorization: Sequence[bytes]) -> Admission | None:
        """A login that is known already. Raises what the authenticator raises."""
        principal = self._authenticator.recognise(authorization)
        if principal is None:
            return None
        return Admission(principal.username, principal.revision)

    async def admit(self, authorization: Sequence[bytes]) -> Admission:
        """Raises what the authenticator raises."""
        principal = await self._authenticator.authenticate(authorization)
        return Admission(principal.username, principal.revision)


class OpenGatekeeper:
    """Admits everybody, as nobody in particular: `authorizationEnabled: false`."""

    def admit_now(self, authorization: Sequence[bytes]) -> Admission:
        """Looks at nothing."""
        del authorization
        return _NOBODY

    async def admit(self, authorization: Sequence[bytes]) -> Admission:
        """The same."""
        return self.admit_now(authorization)


_NOBODY = Admission(username=None)
