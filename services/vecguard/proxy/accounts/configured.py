"""Builds the account service from the settings."""

from vecguard.config.settings import Settings
from vecguard.passwords import PasswordPolicy
from vecguard.proxy.accounts.accounts import Accounts, Directory
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.accounts.service import AccountService
from vecguard.proxy.audit.audit_log import Audit, NoAudit
from vecguard.proxy.authentication.configured import Authentication
from vecguard.usernames import UsernamePolicy


def account_service(
    settings: Settings,
    directory: Directory,
    authentication: Authentication,
    audit: Audit | None = None,
) -> AccountService:
    """Returns the account service; `directory` is root coord, which makes the changes."""
    return AccountService(
        accounts(settings, directory, authentication),
        authorization_enabled=settings.common.security.authorization_enabled,
        audit=audit or NoAudit(),
    )


def accounts(settings: Settings, directory: Directory, authentication: Authentication) -> Accounts:
    """Returns what the account service asks, with the configured rules."""
    security, rules = settings.common.security, settings.proxy
    return Accounts(
        directory,
        authentication.credentials,
        authentication.verifier,
        authenticator=authentication.authenticator,
        permissions=Permissions(
            frozenset(security.super_users),
            anonymous_changes=security.allow_anonymous_changes,
        ),
        usernames=UsernamePolicy(rules.max_username_length, rules.name_validation.extra_chars),
        passwords=PasswordPolicy(rules.min_password_length, rules.max_password_length),
        max_description_bytes=rules.max_user_description_length,
    )
