"""Serves Milvus's account RPCs to the relay."""

from collections.abc import Mapping

from grpclib.const import Handler

from vecguard.proxy.accounts.calls import AccountCalls
from vecguard.proxy.accounts.methods import RESTORE
from vecguard.proxy.accounts.role_service import RoleService
from vecguard.proxy.accounts.user_service import UserService


class AccountService:
    """Serves all account methods, for one server or for two.

    A restored backup may be long, and no other request: see `only_restores`.

    Attributes:
        calls: reads the callers, and records changes.
    """

    def __init__(self, calls: AccountCalls, users: UserService, roles: RoleService) -> None:
        self.calls = calls
        self._handlers = {**users.handlers(), **roles.handlers()}

    def __mapping__(self) -> Mapping[str, Handler]:
        return self._handlers

    def only_restores(self) -> "RestoreService":
        """Returns the service with the method that restores a backup alone."""
        return RestoreService(self._handlers[RESTORE.decode()])


class RestoreService:
    """Serves RestoreRBAC alone."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __mapping__(self) -> Mapping[str, Handler]:
        return {RESTORE.decode(): self._handler}
