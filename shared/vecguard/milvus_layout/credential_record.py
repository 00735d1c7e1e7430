"""Reads and writes the records of users, so that they carry over from Milvus and can go back.

A value is `{"encrypted_password": "$2a$10$...", "time_tick": 123, "description": ""}` with zero
values left out. Two fields are ours: `password_scheme`, only where it is not plain bcrypt, and
`password_since`, only after a change that kept the password.
"""

import json
from dataclasses import dataclass
from typing import Any

from vecguard.milvus_layout.errors import CorruptRecordError
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.secret import Secret

_PASSWORD = "encrypted_password"  # noqa: S105 - a field's name
_SCHEME = "password_scheme"
_SINCE = "password_since"
# The part of a bcrypt hash up to its salt: it differs between any two hashes.
_SALT_END = 29
_DESCRIPTION = "description"
# A digest of the clear password that Milvus once stored; it must not outlive a change.
_LEGACY_DIGEST = "sha256_password"


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
