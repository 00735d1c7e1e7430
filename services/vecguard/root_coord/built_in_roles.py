"""Names the roles that every term creates if missing: admin, public and the configured ones."""

import json
from collections.abc import Mapping

from vecguard.config import Settings
from vecguard.errors import ConfigurationError
from vecguard.milvus_layout.role_records import DEFAULT_DATABASE, is_name
from vecguard.milvus_layout.stored_roles import Grant
from vecguard.privileges.catalogue import ADMIN, PUBLIC, PUBLIC_GRANTS, V1_GRANTABLE, Catalogue
from vecguard.privileges.stored_names import ANY, stored_group, stored_privilege
from vecguard.usernames import ROOT

_KEY = "builtinRoles.roles"
_FIELDS = frozenset({"object_type", "object_name", "privilege", "db_name"})


def initial_roles(settings: Settings) -> dict[str, tuple[Grant, ...]]:
    """Returns the roles that are created when they are missing, with grants that are given.

    The grants of public are Milvus's.

    Raises:
        ConfigurationError: `builtinRoles.roles` is malformed, or names an unknown privilege or
            object type.
    """
    public = (
        tuple(
            Grant(object_type, ANY, ANY, stored_privilege(privilege), ROOT)
            for object_type, privilege in PUBLIC_GRANTS
        )
        if settings.common.security.enable_public_privilege
        and settings.proxy.enable_public_privilege is not False
        else ()
    )
    return {ADMIN: (), PUBLIC: public, **built_in_roles(settings)}


def built_in_roles(settings: Settings) -> dict[str, tuple[Grant, ...]]:
    """Returns the roles of the configuration. Raises ConfigurationError."""
    if not settings.builtin_roles.enable:
        return {}
    try:
        roles = json.loads(settings.builtin_roles.roles or "{}")
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{_KEY} is not JSON: {error}") from None
    if not isinstance(roles, dict):
        raise ConfigurationError(f"{_KEY} must be a JSON object of role names")
    catalogue = Catalogue.of(settings.common.security.rbac)
    return {name: _grants(name, role, catalogue) for name, role in roles.items()}


def _grants(name: str, role: object, catalogue: Catalogue) -> tuple[Grant, ...]:
    if not is_name(name) or name in (ADMIN, PUBLIC):
        raise ConfigurationError(f"{_KEY}: {name!r} cannot be the name of a built-in role")
    privileges = role.get("privileges") if isinstance(role, dict) else None
    if not isinstance(privileges, list) or not all(isinstance(each, dict) for each in privileges):
        raise ConfigurationError(f'{_KEY}: {name} must be an object with a list "privileges"')
    return tuple(_grant(f"{_KEY}: {name}", each, catalogue) for each in privileges)


def _grant(where: str, fields: Mapping[str, object], catalogue: Catalogue) -> Grant:
    if unknown := sorted(fields.keys() - _FIELDS):
        raise ConfigurationError(f"{where}: unknown field {unknown[0]!r}")
    texts = {"db_name": DEFAULT_DATABASE, **fields}
    if missing := sorted(_FIELDS - texts.keys()):
        raise ConfigurationError(f"{where}: a privilege has no {missing[0]!r}")
    object_type, name, privilege, database = (
        texts[field] for field in ("object_type", "object_name", "privilege", "db_name")
    )
    if not (
        isinstance(object_type, str)
        and isinstance(name, str)
        and isinstance(privilege, str)
        and isinstance(database, str)
    ):
        raise ConfigurationError(f"{where}: the fields of a privilege must be strings")
    if object_type not in V1_GRANTABLE:
        types = ", ".join(V1_GRANTABLE)
        raise ConfigurationError(f"{where}: object_type {object_type!r} is not one of {types}")
    if privilege != ANY and privilege not in V1_GRANTABLE[object_type]:
        raise ConfigurationError(f"{where}: {object_type} has no privilege {privilege!r}")
    if not is_name(name) or not is_name(database) or "." in database:
        raise ConfigurationError(f"{where}: {database!r} or {name!r} cannot be a name")
    stored = (
        stored_group(privilege)
        if catalogue.is_built_in_group(privilege)
        else stored_privilege(privilege)
    )
    return Grant(object_type, database, name, stored, ROOT)
