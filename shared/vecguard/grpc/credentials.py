"""Converts password hashes to and from the messages between our processes."""

from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.secret import Secret

_TO_WIRE = {
    PasswordScheme.BCRYPT: pb.PasswordScheme.BCRYPT,
    PasswordScheme.BCRYPT_SHA256: pb.PasswordScheme.BCRYPT_SHA256,
}
_FROM_WIRE = {wire: scheme for scheme, wire in _TO_WIRE.items()}


def hash_to_wire(password: PasswordHash) -> pb.PasswordHash:
    """Returns the hash as a message to another of our processes."""
    return pb.PasswordHash(
        encrypted_password=password.encrypted.reveal(),
        scheme=pb.PasswordScheme(_TO_WIRE[password.scheme]),
    )


def hash_from_wire(message: pb.PasswordHash) -> PasswordHash:
    """Reads a hash. Raises InvalidParameterError when no password could ever match it."""
    try:
        return PasswordHash(
            Secret(message.encrypted_password), _FROM_WIRE[pb.PasswordScheme(message.scheme)]
        )
    except (ValueError, KeyError):
        raise InvalidParameterError("the message holds no usable password hash") from None
