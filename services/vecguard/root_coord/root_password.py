"""Follows whether root still has the well-known default password."""

import asyncio
from typing import Final

from vecguard.errors import VecguardError
from vecguard.observability.log import get_logger
from vecguard.passwords import PasswordHash, verify_password
from vecguard.root_coord.store.interface import CredentialStore
from vecguard.secret import Secret
from vecguard.usernames import ROOT

# After a read that failed.
_RETRY_SECONDS: Final = 5.0
_DEFAULT_PASSWORD: Final = Secret("Milvus")

_log = get_logger(__name__)


class RootPassword:
    """Compares root's password with the default one after each change of root's record.

    Attributes:
        is_default: the result of the last comparison; None before the first one.
    """

    def __init__(self, store: CredentialStore) -> None:
        """Takes the store of the record."""
        self._store = store
        self._changed = asyncio.Event()
        self.is_default: bool | None = None

    def changed(self) -> None:
        """Records that root's record may have changed."""
        self._changed.set()

    async def follow(self) -> None:
        """Compares after each change until cancelled. Each takes the time of one bcrypt."""
        compared: PasswordHash | None = None
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                root = (await self._store.get(ROOT)).value
            except VecguardError:
                # Others report that etcd does not answer.
                self._changed.set()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            password = None if root is None else root.password
            if password == compared and self.is_default is not None:
                continue  # a new description, or another change without a new password
            compared = password
            # A record that cannot be read lets no login pass.
            self.is_default = password is not None and await asyncio.to_thread(
                verify_password, _DEFAULT_PASSWORD, password
            )
            if self.is_default:
                _log.warning("root has the well-known default password; change it now")
