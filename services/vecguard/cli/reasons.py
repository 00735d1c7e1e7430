"""Names the cases in which commands fail, for programs. docs/cli.md has the table."""

import re
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """The words of the key `reason` in the JSON of a command that fails."""

    USAGE = "usage"
    TLS_AUTHORITY = "tls_authority"
    TLS_CERTIFICATE_FILES = "tls_certificate_files"
    CONFIGURATION = "configuration"

    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_METHOD = "unknown_method"
    OUTDATED_ROOT_COORD = "outdated_root_coord"

    LOGIN_REFUSED = "login_refused"
    PERMISSION_DENIED = "permission_denied"
    AUTHORIZATION_OFF = "authorization_off"

    USER_NOT_FOUND = "user_not_found"
    USER_EXISTS = "user_exists"
    USER_LIMIT = "user_limit"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a word, no password
    PASSWORD_TOO_SHORT = "password_too_short"  # noqa: S105 - a word, no password
    PASSWORD_TOO_LONG = "password_too_long"  # noqa: S105 - a word, no password
    BAD_PASSWORD = "bad_password"  # noqa: S105 - a word, no password
    BAD_NAME = "bad_name"
    DESCRIPTION_TOO_LONG = "description_too_long"
    ROOT_PROTECTED = "root_protected"

    ROLE_NOT_FOUND = "role_not_found"
    ROLE_EXISTS = "role_exists"
    ROLE_LIMIT = "role_limit"
    ROLE_PROTECTED = "role_protected"
    ROLE_HAS_GRANTS = "role_has_grants"
    PRIVILEGE_NOT_FOUND = "privilege_not_found"
    COLLECTION_CHANGING = "collection_changing"

    GROUP_NOT_FOUND = "group_not_found"
    GROUP_EXISTS = "group_exists"
    GROUP_IN_USE = "group_in_use"
    LEVELS_DIFFER = "levels_differ"

    CHANGED_MEANWHILE = "changed_meanwhile"
    NOT_CONFIRMED = "not_confirmed"
    SIMILAR_PREFIX = "similar_prefix"
    ETCD = "etcd"
    ETCD_UNAVAILABLE = "etcd_unavailable"
    ETCD_OUTCOME_UNKNOWN = "etcd_outcome_unknown"
    ETCD_AUTH = "etcd_auth"
    ETCD_NO_SPACE = "etcd_no_space"

    REFUSED = "refused"
    INTERNAL = "internal"


#: Parts of the texts of a proxy and of a Milvus, which say more than their codes: Milvus has one
#: code for a missing user and a bad name. The first that occurs decides.
_TEXTS: Final = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"users and roles cannot be changed through a proxy whose", Reason.AUTHORIZATION_OFF),
        (r"is older than this proxy; upgrade root coord", Reason.OUTDATED_ROOT_COORD),
        (r"a collection (of|with) this name is being dropped", Reason.COLLECTION_CHANGING),
        (r"old password not correct", Reason.WRONG_PASSWORD),
        (r"invalid password: ", Reason.BAD_PASSWORD),
        (r"length of role description|invalid description length", Reason.DESCRIPTION_TOO_LONG),
        (r"root user cannot be deleted", Reason.ROOT_PROTECTED),
        (r"is a (default|builtin) role", Reason.ROLE_PROTECTED),
        (r"number of users has reached the limit", Reason.USER_LIMIT),
        (r"number of roles has reached the limit", Reason.ROLE_LIMIT),
        (r"fail to drop the role that it has privileges", Reason.ROLE_HAS_GRANTS),
        (r"not found the privilege name", Reason.PRIVILEGE_NOT_FOUND),
        (r"no privilege name or privilege group name", Reason.PRIVILEGE_NOT_FOUND),
        (r"no privilege group name \[.*\] defined", Reason.GROUP_NOT_FOUND),
        (r"privilege group name \[.*\] is defined", Reason.GROUP_EXISTS),
        (r"privilege group \[.*\] is used by role", Reason.GROUP_IN_USE),
        (r"not the same privilege level", Reason.LEVELS_DIFFER),
        (r"user already exists", Reason.USER_EXISTS),
        (r"^role \[.*\] already exists", Reason.ROLE_EXISTS),
        (
            r"not found the role|role not exists|the role \".*\" does not exist",
            Reason.ROLE_NOT_FOUND,
        ),
        (r"user not found|user \".*\" (not found|does not exist)", Reason.USER_NOT_FOUND),
        (r"there is no user ", Reason.USER_NOT_FOUND),
        (r"invalid user ?name|username must be not empty", Reason.BAD_NAME),
        (r"(of|^)( an?)? ?(\w+ )+name.* (must be|should|can only)", Reason.BAD_NAME),
        (r"invalid (privilege group|database) name", Reason.BAD_NAME),
    )
)
# A server could send a long text that takes the patterns seconds.
_MAX_CHARACTERS: Final = 500
_LENGTH: Final = re.compile(r"invalid password length: .*\[(\d+) out of range (\d+) <=")


def reason_of_refusal(text: str) -> Reason:
    """Returns the case that a server's text is about; REFUSED if it is none of the known ones."""
    text = text[:_MAX_CHARACTERS]
    if length := _LENGTH.search(text):
        too_short = int(length[1]) < int(length[2])
        return Reason.PASSWORD_TOO_SHORT if too_short else Reason.PASSWORD_TOO_LONG
    return next((reason for pattern, reason in _TEXTS if pattern.search(text)), Reason.REFUSED)
