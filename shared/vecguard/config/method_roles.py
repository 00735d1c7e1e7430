"""Defines the kind of `proxy.methodRoles`: which methods of a backend need a role."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from vecguard.config.fields import Expected
from vecguard.config.problems import complaint, describe

#: The longest path of a method that can have an entry, in characters.
MAX_PATH: Final = 200

_NAME: Final = r"[A-Za-z0-9_.-]+"
_PATTERN: Final = re.compile(rf"/({_NAME})/({_NAME}|\*)", re.ASCII)
_OWN_SERVICES: Final = ("grpc.health.", "vecguard.")


def _pattern(value: str) -> str:
    found = _PATTERN.fullmatch(value)
    if found is None or len(value) > MAX_PATH:
        raise complaint(
            "expected the path of a method, /package.Service/Method, or of all methods of a "
            f"service, /package.Service/*, with at most {MAX_PATH} characters"
        )
    service = found[1].lower()
    if "milvus.proto." in service:
        raise complaint(
            "the privileges of Milvus's methods are fixed: grant a role the privilege of the method"
        )
    if service.startswith(_OWN_SERVICES):
        raise complaint("the proxy itself decides who may call this service; remove the entry")
    return value


def _roles(value: object) -> object:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise complaint(f"expected a role or a list of roles, found {describe(value)}")
    if not value:
        raise complaint(
            "an entry needs a role: remove the entry if every authenticated user may make the "
            "call, or use the role admin if only admins may"
        )
    for role in value:
        if role == "*":
            raise complaint(
                "* is not a role: list the roles, or use the role public, which every user has"
            )
        if not isinstance(role, str) or not role or not role.isprintable():
            raise complaint(f"expected the name of a role, found {describe(role)}")
    return tuple(value)


def _distinct(value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    spellings: dict[str, str] = {}
    for pattern in value:
        other = spellings.setdefault(pattern.lower(), pattern)
        if other != pattern:
            raise complaint(f"{other} and {pattern} differ only in letter case, which is ignored")
    return value


def _from_json(value: object) -> object:
    """Returns a mapping from its JSON text; other values unchanged."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        return json.loads(value, object_pairs_hook=_unique)
    except PydanticCustomError:
        raise
    except (ValueError, RecursionError):
        raise complaint(
            'expected JSON such as {"/package.Service/Method": "reader"}, found other text'
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise complaint("the JSON text contains a name twice")
    return values


MethodRoles = Annotated[
    Mapping[
        Annotated[str, AfterValidator(_pattern)],
        Annotated[tuple[str, ...], BeforeValidator(_roles)],
    ],
    BeforeValidator(_from_json),
    AfterValidator(_distinct),
    Expected("paths of methods, each with a role or a list of roles; or the same as JSON text"),
]
