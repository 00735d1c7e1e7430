"""Permissions of calls that need no role, but that the relay or a cache must know of."""

from collections.abc import Awaitable, Callable

from vecguard.proxy.authorization.errors import PermissionChangedError
from vecguard.proxy.authorization.policy import Rights
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.relay.calls.permission import Permission


class Given(Permission):
    """A permission that is given from the beginning. Subclasses say why the relay needs it."""

    def __init__(self) -> None:
        # Not in the class: where `Permission` is compiled, that would hide its attributes.
        self.is_given = True
        self.reads_request = False

    def read(self, payload: bytes | bytearray | memoryview) -> None:
        """Reads nothing."""

    def passes_part(self) -> None:
        """Lets all parts pass."""

    def decide(self) -> None:
        """Decides nothing."""

    async def wait(self) -> None:
        """Waits for nothing."""

    async def judge_again(self) -> None:
        """Stays given."""


class FilteredList(Given):
    """For a list that `Lists` filters, by the rights at the time of the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.filters_answer = True


class WholeList(Given):
    """For a list that the backend answers itself, because the user is an admin."""

    def __init__(
        self, newest: Callable[[str], Awaitable[tuple[Rights, object]]], username: str
    ) -> None:
        """Takes the function that reads the newest rights of a user, and the user."""
        super().__init__()
        self._newest = newest
        self._username = username

    async def judge_again(self) -> None:
        """Raises PermissionChangedError if the user is no admin any more."""
        rights, _ = await self._newest(self._username)
        if not rights.is_admin:
            raise PermissionChangedError


class AliasChange(Given):
    """For a change that needs no role, and after which aliases may refer to other collections."""

    def __init__(self, aliases: Aliases) -> None:
        super().__init__()
        self._aliases = aliases
        aliases.forget()

    def answered(self) -> None:
        """Drops what was looked up meanwhile."""
        self._aliases.forget()
