"""Reads and writes the records of roles, grants and privilege groups.

A grant needs two keys: `grantee-privileges/<role>/<object type>/<database>.<object>` has a grantee
id as its value, and each `grantee-id/<id>/<privilege>` has the grantor's name. A key of the default
database may lack `default.`: Milvus before 2.2.9 had no databases.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vecguard.errors import MalformedMessageError
from vecguard.generated.milvus.proto.milvus import PrivilegeEntity, PrivilegeGroupInfo
from vecguard.grpc.raw_message import fields, message, texts
from vecguard.milvus_layout.errors import CorruptRecordError
from vecguard.privileges.catalogue import PRIVILEGES
from vecguard.privileges.stored_names import stored_privilege

DEFAULT_DATABASE = "default"

# Only privileges: a custom group may have a name that begins like a stored one.
_API_NAMES = {stored_privilege(name): name for name in PRIVILEGES}
# Milvus made ids of 16 characters until 2026, and has made ids of 32 since.
_ID = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_DESCRIPTION = "description"
_LONGEST_NAME = 255
# PrivilegeGroupInfo.privileges, and PrivilegeEntity.name.
_PRIVILEGES, _ENTITY = 2, {1: 0}


@dataclass(frozen=True, slots=True)
class Grantee:
    """A role together with an object on which it has grants.

    Attributes:
        object: a name, a pattern, or "*".
    """

    role: str
    object_type: str
    database: str
    object: str

    @classmethod
    def of_key(cls, key: str) -> "Grantee":
        """Reads a key without its prefix `Keys.grantees`. Raises CorruptRecordError."""
        match key.split("/"):
            case [role, object_type, object_name] if role and object_type and object_name:
                database, dot, name = object_name.partition(".")
                if not dot:
                    return cls(role, object_type, DEFAULT_DATABASE, object_name)
                if database and name:
                    return cls(role, object_type, database, name)
        raise CorruptRecordError("the key is not <role>/<object type>/<database>.<object>")

    @property
    def key(self) -> str:
        """The key without its prefix `Keys.grantees`."""
        return f"{self.role}/{self.object_type}/{self.database}.{self.object}"

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that mean this grantee, the older form first."""
        if self.database == DEFAULT_DATABASE and "." not in self.object:
            return f"{self.role}/{self.object_type}/{self.object}", self.key
        return (self.key,)

    @property
    def id(self) -> str:
        """The id that Milvus gives a new grantee."""
        logical = f"root-coord/credential/grantee-privileges/{self.key}"
        # Milvus defines the id as an MD5; it protects nothing.
        return hashlib.md5(logical.encode(), usedforsecurity=False).hexdigest()


def is_name(text: str) -> bool:
    """Returns whether a text can be one element of a key: Milvus cleans paths, so "..", too, fails.

    What names a role or a privilege may have beyond that is for the proxy to check.
    """
    return (
        0 < len(text) <= _LONGEST_NAME
        and "/" not in text
        and text not in (".", "..")
        and text.isprintable()
    )


def grantee_id(value: bytes) -> str:
    """Reads the value of a grantee's key. Raises CorruptRecordError when it is no id."""
    text = value.decode(errors="replace")
    if not _ID.fullmatch(text):
        raise CorruptRecordError("the value is no grantee id")
    return text


def role_description(value: bytes) -> str:
    """Reads a role's value, which is empty or JSON. Raises CorruptRecordError."""
    if not value:
        return ""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CorruptRecordError("not JSON") from error
    description = fields.get(_DESCRIPTION, "") if isinstance(fields, dict) else None
    if not isinstance(description, str):
        raise CorruptRecordError(f"no JSON object, or its {_DESCRIPTION} is no text")
    # JSON can spell half of a character (a lone surrogate), which no message can carry.
    return description.encode(errors="replace").decode()


def role_value(description: str) -> bytes:
    """Returns the value of a role with this description."""
    if not description:
        return b""
    return json.dumps({_DESCRIPTION: description}, separators=(",", ":")).encode()


def group_members(value: bytes) -> tuple[str, ...]:
    """Reads a privilege group's value. Raises CorruptRecordError.

    Returns API names, also of privileges whose stored names it has.
    """
    names = []
    try:
        for number, entity in fields(value):
            if number == _PRIVILEGES:
                names += texts(message(entity), _ENTITY, 1)
    except MalformedMessageError as error:
        raise CorruptRecordError("not a PrivilegeGroupInfo") from error
    return tuple(dict.fromkeys(_API_NAMES.get(name, name) for name in names if name))


def group_value(group: str, members: Sequence[str]) -> bytes:
    """Returns the value of a privilege group, with API names as Milvus stores them."""
    return bytes(
        PrivilegeGroupInfo(
            group_name=group, privileges=[PrivilegeEntity(name=name) for name in members]
        )
    )
