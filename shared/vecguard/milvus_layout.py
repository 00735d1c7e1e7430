"""Defines Milvus's key layout and record format, so that its users carry over and can go back.

Keys are `<rootPath>/<metaSubPath>/root-coord/credential/users/<user>`, joined by the rules in
`vecguard.key_path`; a value is `{"encrypted_password": "$2a$10$...", "time_tick": 123,
"description": ""}` with zero values left out. Two fields are ours: `password_scheme`, only where it
is not plain bcrypt, and `password_since`, only after a change that kept the password.
"""

import json
from dataclasses import dataclass
from typing import Any

from vecguard.key_path import join
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.secret import Secret

#: The users' keys below the root.
USERS = "root-coord/credential/users"

_PASSWORD = "encrypted_password"  # noqa: S105 - a field's name
_SCHEME = "password_scheme"
_SINCE = "password_since"
# The part of a bcrypt hash up to its salt: it differs between any two hashes.
_SALT_END = 29
_DESCRIPTION = "description"
# A digest of the clear password that Milvus once stored; it must not outlive a change.
_LEGACY_DIGEST = "sha256_password"


class CorruptRecordError(Exception):
    """A stored value is not a credential. The text never shows the value."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below one root."""

    root: str

    @classmethod
    def of(cls, root_path: str, meta_sub_path: str) -> "Keys":
        """Returns the keys below `etcd.rootPath` and `etcd.metaSubPath`."""
        return cls(join(root_path, meta_sub_path))

    @property
    def users(self) -> str:
        """The prefix of every user's record."""
        return self._below(USERS)

    def user(self, username: str) -> str:
        """Returns the key of one user's record."""
        return self.users + username

    def roles_of(self, username: str) -> str:
        """Returns the prefix of the roles that are bound to one user."""
        return self._below("root-coord/credential/user-role-mapping") + username + "/"

    @property
    def leader(self) -> str:
        """Vecguard's own: exists while there is an active root coord; its value is the address."""
        return self._below("vecguard/root-coord") + "leader"

    @property
    def leases(self) -> str:
        """Vecguard's own: see `vecguard.root_coord.election`."""
        return self._below("vecguard/root-coord") + "leases-granted"

    @property
    def root_marker(self) -> str:
        """Vecguard's own: see `vecguard.root_record`."""
        return self._below("vecguard/root-coord") + "root-created"

    def _below(self, directory: str) -> str:
        return join(self.root, directory) + "/"


@dataclass(frozen=True, slots=True)
class Record:
    """Holds a record as a whole: fields that we do not know survive a change."""

    fields: dict[str, Any]

    @classmethod
    def new(cls, password: PasswordHash, description: str) -> "Record":
        """Returns the record of a new user."""
        return cls({}).changed(password, description)

    @classmethod
    def decode(cls, value: bytes) -> "Record":
        """Reads a stored value. Raises CorruptRecordError when it is not a JSON object."""
        try:
            fields = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise CorruptRecordError("not JSON") from error
        if not isinstance(fields, dict):
            raise CorruptRecordError("not a JSON object")
        return cls(fields)

    def encode(self) -> bytes:
        """Returns the value to store."""
        return json.dumps(self.fields, separators=(",", ":")).encode()

    @property
    def password(self) -> PasswordHash:
        """The stored hash. Raises CorruptRecordError when it is missing or unusable."""
        encrypted = self.fields.get(_PASSWORD)
        if not isinstance(encrypted, str):
            raise CorruptRecordError(f"no {_PASSWORD}")
        try:
            scheme = PasswordScheme(self.fields.get(_SCHEME, PasswordScheme.BCRYPT))
            return PasswordHash(Secret(encrypted), scheme)
        except (ValueError, TypeError):
            # Without the cause, which may quote the value.
            raise CorruptRecordError(f"{_PASSWORD} or {_SCHEME} cannot be used") from None

    @property
    def description(self) -> str:
        """Free text; "" when there is none."""
        description = self.fields.get(_DESCRIPTION, "")
        if not isinstance(description, str):
            return ""
        # JSON can spell half of a character (a lone surrogate), which no message can carry.
        return description.encode(errors="replace").decode()

    def password_since(self, revision: int) -> int:
        """Returns the revision at which the password was set; `revision` is the record's own."""
        match self.fields.get(_SINCE):
            # Another program may have replaced the hash and left this field.
            case {"revision": int(since), "hash": str(start)} if start == _start(self):
                return since if 0 < since <= revision else revision
        return revision

    def rewritten(
        self, password: PasswordHash | None, description: str | None, revision: int
    ) -> "Record":
        """Does `changed` with another hash of the same password; `revision` is this record's."""
        record = self.changed(password, description)
        if start := _start(record):
            record.fields[_SINCE] = {"revision": self.password_since(revision), "hash": start}
        return record

    def changed(self, password: PasswordHash | None, description: str | None) -> "Record":
        """Returns a copy with the values that are not None; `password` is a new password's."""
        fields = dict(self.fields)
        if password is not None:
            fields.pop(_SINCE, None)
            fields[_PASSWORD] = password.encrypted.reveal()
            fields[_SCHEME] = str(password.scheme)
            fields.pop(_LEGACY_DIGEST, None)
            if password.scheme is PasswordScheme.BCRYPT:
                del fields[_SCHEME]
        if description is not None:
            fields[_DESCRIPTION] = description
            if not description:
                del fields[_DESCRIPTION]
        return Record(fields)


def _start(record: Record) -> str:
    """Returns the part that identifies the record's hash; "" when there is none."""
    try:
        return record.password.encrypted.reveal()[:_SALT_END]
    except CorruptRecordError:
        return ""
