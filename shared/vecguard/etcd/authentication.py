"""Gets the token that etcd requires with each request while its authentication is on."""

import logging
from dataclasses import dataclass

from vecguard.concurrency.shared_attempt import SharedAttempt
from vecguard.etcd.channel import Metadata, Rpc
from vecguard.etcd.endpoint import Endpoint
from vecguard.etcd.failure import AttemptError, is_auth_disabled
from vecguard.generated.etcdserverpb import AuthenticateRequest, AuthenticateResponse
from vecguard.secret import Secret

_log = logging.getLogger(__name__)

_AUTHENTICATE = Rpc("/etcdserverpb.Auth/Authenticate", AuthenticateRequest, AuthenticateResponse)
_NO_TOKEN = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of etcd."""

    username: str
    password: Secret[str]


class TokenSource:
    """Gets a token when one is needed, with one request at a time for all callers.

    If etcd's authentication is off, credentials are not used and a warning says so. When it is
    switched on later, the refusal that follows makes this get a token.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._token: Secret[str] | None = None
        self._flight: SharedAttempt[Secret[str]] = SharedAttempt()
        self._warned = False

    @property
    def can_renew(self) -> bool:
        return self._credentials is not None

    async def token(self, endpoint: Endpoint, timeout_seconds: float) -> Secret[str] | None:
        """Returns the current token, or a new one from `endpoint`.

        Returns:
            None if there are no credentials; an empty secret if etcd requires no token.

        Raises:
            AttemptError: etcd refused the credentials, or gave no answer.
        """
        credentials = self._credentials
        if credentials is None:
            return None
        return await self._flight.get(
            lambda: self._token, lambda: self._authenticate(credentials, endpoint, timeout_seconds)
        )

    def refuse(self, token: Secret[str] | None) -> None:
        """Forgets a token that etcd refused, unless it was already replaced."""
        if self._token is token:
            self._token = None

    async def _authenticate(
        self, credentials: Credentials, endpoint: Endpoint, timeout_seconds: float
    ) -> Secret[str]:
        request = AuthenticateRequest(
            name=credentials.username, password=credentials.password.reveal()
        )
        try:
            reply = await endpoint.call(
                _AUTHENTICATE, request, metadata={}, timeout_seconds=timeout_seconds
            )
        except AttemptError as error:
            if not is_auth_disabled(error):
                raise
            if not self._warned:
                self._warned = True
                _log.warning(
                    "etcd at %s runs without authentication; the configured user %s is not used",
                    endpoint.address,
                    credentials.username,
                )
            self._token = Secret(_NO_TOKEN)
        else:
            self._token = Secret(reply.token)
        return self._token


def metadata_of(token: Secret[str] | None, *, need_leader: bool = True) -> Metadata:
    """Returns the metadata of a request.

    Args:
        token: None or empty if etcd requires none.
        need_leader: makes a member that is cut off from the others refuse at once and end its
            streams, instead of keeping silent.
    """
    metadata = {"hasleader": "true"} if need_leader else {}
    if token:
        metadata["token"] = token.reveal()
    return metadata
