"""Decides which callers may make changes at all, and which need to know the old password.

The relay has decided before by the caller's roles; see `vecguard.proxy.authorization`.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from vecguard.proxy.accounts.errors import AnonymousChangeError
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal
from vecguard.usernames import ROOT


@dataclass(frozen=True, slots=True)
class Permissions:
    """Checks callers, for a configured set of super users.

    Attributes:
        anonymous_changes: whether callers may make changes where authorization is switched off.
    """

    super_users: AbstractSet[str]
    anonymous_changes: bool = False

    def checks_old_password(self, principal: Principal, target: str, *, is_given: bool) -> bool:
        """Returns whether a change of the target's password needs the right old one.

        As in Milvus, it is checked for every caller but super users. An empty old password
        resets a forgotten one, as in Milvus 2.1; root may do so for other users.
        """
        if self._is_super_user(principal):
            return False
        if is_given:
            return True
        is_reset = principal.is_anonymous or (principal.username == ROOT and target != ROOT)
        return not is_reset

    def require_change(self, caller: Caller) -> None:
        """Returns if the caller may change users, roles, grants and groups.

        Reads are allowed where authorization is switched off, as in Milvus: they change nothing
        for the proxies that do authenticate.

        Raises:
            AnonymousChangeError: the caller has no name.
        """
        if caller.principal.is_anonymous and not self.anonymous_changes:
            raise AnonymousChangeError

    def _is_super_user(self, principal: Principal) -> bool:
        return not principal.is_anonymous and principal.username in self.super_users
