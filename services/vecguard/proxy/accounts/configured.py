"""Builds the account service from the settings."""

from collections.abc import Callable
from typing import Protocol

from vecguard.config.settings import Settings
from vecguard.passwords import PasswordPolicy
from vecguard.privileges.catalogue import Catalogue
from vecguard.proxy.accounts.accounts import Accounts, Directory
from vecguard.proxy.accounts.backup import BackupDirectory, Backups
from vecguard.proxy.accounts.calls import AccountCalls
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.grants import GrantAccounts, GrantDirectory
from vecguard.proxy.accounts.names import NameRules
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.accounts.privilege_groups import GroupDirectory, PrivilegeGroups
from vecguard.proxy.accounts.role_service import RoleService
from vecguard.proxy.accounts.roles import RoleAccounts, RoleDirectory
from vecguard.proxy.accounts.service import AccountService
from vecguard.proxy.accounts.user_service import UserService
from vecguard.proxy.audit.audit_log import Audit, NoAudit
from vecguard.proxy.authentication.configured import Authentication
from vecguard.usernames import UsernamePolicy


class Roles(RoleDirectory, GrantDirectory, GroupDirectory, BackupDirectory, Protocol):
    """The requests to root coord that all RPCs about roles need."""


def account_service(
    settings: Settings,
    directory: Directory,
    roles: Roles,
    authentication: Authentication,
    audit: Audit | None = None,
    *,
    outdated: Callable[[str], None] | None = None,
) -> AccountService:
    """Returns the account service; root coord, which makes the changes, is `directory` for users.

    `outdated` is called with a user whose record in root coord is newer; None: the cached
    record is forgotten.

    Raises ConfigurationError if a privilege group is configured wrongly.
    """
    calls = AccountCalls(
        authorization_enabled=settings.common.security.authorization_enabled,
        audit=audit or NoAudit(),
    )
    changes = Changes(permissions(settings), outdated or authentication.credentials.forget)
    names = NameRules(settings.proxy.role_name_validation.allowed_chars)
    catalogue = Catalogue.of(settings.common.security.rbac)
    longest = settings.proxy.max_role_description_length
    return AccountService(
        calls,
        UserService(accounts(settings, directory, authentication, changes), calls),
        RoleService(
            calls,
            RoleAccounts(
                roles,
                changes,
                names=names,
                usernames=_usernames(settings),
                max_description_bytes=longest,
            ),
            GrantAccounts(roles, changes, names=names, catalogue=catalogue),
            PrivilegeGroups(roles, changes, names=names),
            Backups(
                roles, changes, names=names, catalogue=catalogue, max_description_bytes=longest
            ),
        ),
    )


def accounts(
    settings: Settings, directory: Directory, authentication: Authentication, changes: Changes
) -> Accounts:
    """Returns what the account service asks about users, with the configured rules."""
    rules = settings.proxy
    return Accounts(
        directory,
        authentication.credentials,
        authentication.verifier,
        authenticator=authentication.authenticator,
        changes=changes,
        usernames=_usernames(settings),
        passwords=PasswordPolicy(rules.min_password_length, rules.max_password_length),
        max_description_bytes=rules.max_user_description_length,
    )


def permissions(settings: Settings) -> Permissions:
    """Returns which callers may make changes, and which need the old password."""
    security = settings.common.security
    return Permissions(
        frozenset(security.super_users), anonymous_changes=security.allow_anonymous_changes
    )


def _usernames(settings: Settings) -> UsernamePolicy:
    rules = settings.proxy
    return UsernamePolicy(rules.max_username_length, rules.name_validation.extra_chars)
