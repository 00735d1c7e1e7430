"""Checks the rules for passwords, and hashes passwords by two schemes.

bcrypt reads 72 bytes. A password of up to 72 UTF-8 bytes is hashed by plain
bcrypt, byte-compatible with Milvus; a longer one by bcrypt over
base64(SHA-256(password)), and marked so. No password is ever cut silently.

bcrypt ends a password with NUL and repeats both until it has 72 bytes. So to plain bcrypt `x`
equals `x` NUL `x`, and six NULs equal the empty password; passwords without NUL all differ.
Therefore no new password may contain NUL, and a password with NUL never matches a plain hash,
which may belong to another text. The empty password, which cannot be set, never matches either:
the hash may be of NULs that an older version has set.

Hashing is slow by design (about 60 ms at cost 10): call it in a thread.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import bcrypt

from vecguard.errors import InvalidParameterError
from vecguard.secret import Secret

BCRYPT_MAX_BYTES = 72
_NUL = "\0"
#: bcrypt itself permits up to 31, which takes two days. A thread in bcrypt cannot be stopped, so
#: one record with such a cost would block the logins of all other users. 16 takes 4 s.
MIN_COST, MAX_COST = 4, 16

# Milvus (Go) writes the 2a prefix; 2b and 2y differ from it in name only.
_PREFIX = b"2a"
# The last character of the salt carries two bits only (bcrypt refuses any other).
_BCRYPT_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")


class PasswordScheme(StrEnum):
    """How a password was hashed."""

    BCRYPT = "bcrypt"
    BCRYPT_SHA256 = "bcrypt-sha256"


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A stored hash with the scheme that made it.

    Raises:
        ValueError: `encrypted` is not a bcrypt hash, so that no password can match it, or its cost
            is out of range.
    """

    encrypted: Secret[str]
    scheme: PasswordScheme = PasswordScheme.BCRYPT

    def __post_init__(self) -> None:
        match = _BCRYPT_HASH.fullmatch(self.encrypted.reveal())
        if not match or not MIN_COST <= int(match[1]) <= MAX_COST:
            raise ValueError("not a bcrypt hash")

    @property
    def cost(self) -> int:
        """Bcrypt's cost: the binary logarithm of its rounds."""
        return int(self.encrypted.reveal()[4:6])


#: Takes the place of a missing user's hash: as long as any other, and of an unknown password.
DUMMY_HASH: Final = PasswordHash(Secret(f"$2b$10${'.' * 53}"))


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The rules for new passwords. Lengths count characters; NUL is not allowed."""

    min_length: int = 6
    max_length: int = 256

    def check(self, password: Secret[str]) -> None:
        """Checks that a password may be set.

        Raises:
            InvalidParameterError: the length is out of range, with Milvus's text; or the password
                contains NUL.
        """
        length = len(password.reveal())
        if not self.min_length <= length <= self.max_length:
            raise InvalidParameterError(
                "invalid password length: invalid parameter"
                f"[{length} out of range {self.min_length} <= value <= {self.max_length}]"
            )
        if _NUL in password.reveal():
            raise InvalidParameterError(
                "invalid password: it contains a NUL character (U+0000), with which bcrypt cannot "
                "tell some passwords apart: invalid parameter"
            )


def hash_password(password: Secret[str], cost: int) -> PasswordHash:
    """Returns the hash of a new password, with a fresh salt."""
    octets = password.reveal().encode()
    scheme = (
        PasswordScheme.BCRYPT if len(octets) <= BCRYPT_MAX_BYTES else PasswordScheme.BCRYPT_SHA256
    )
    encrypted = bcrypt.hashpw(_bcrypt_input(octets, scheme), bcrypt.gensalt(cost, _PREFIX))
    return PasswordHash(Secret(encrypted.decode()), scheme)


def verify_password(password: Secret[str], expected: PasswordHash) -> bool:
    """Returns whether the password belongs to this hash. Always takes the time of one bcrypt."""
    octets = password.reveal().encode()
    # A password that plain bcrypt confuses with others is hashed all the same, by its first 72
    # bytes, so that it takes the same time. This line then decides.
    fits = expected.scheme is not PasswordScheme.BCRYPT or (
        0 < len(octets) <= BCRYPT_MAX_BYTES and _NUL not in password.reveal()
    )
    matches = bcrypt.checkpw(
        _bcrypt_input(octets, expected.scheme)[:BCRYPT_MAX_BYTES],
        expected.encrypted.reveal().encode(),
    )
    return matches and fits


def _bcrypt_input(octets: bytes, scheme: PasswordScheme) -> bytes:
    if scheme is PasswordScheme.BCRYPT_SHA256:
        return base64.b64encode(hashlib.sha256(octets).digest())
    return octets
