"""Finds keys that clients of grpcio, such as pymilvus, cannot use although OpenSSL can.

As seen with grpcio 1.85, whose BoringSSL offers neither Ed25519 nor P-521 for a server's key but
signs with them, and cannot decode the other kinds at all.
"""

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import PublicKeyAlgorithmOID

from vecguard.tls.certificates import name_of

ADVICE: Final = "reissue it with an EC P-256, EC P-384 or RSA key"

_SERVER: Final = frozenset(("RSA", "EC P-256", "EC P-384"))
_CLIENT: Final = _SERVER | {"EC P-521", "Ed25519"}
_ISSUER: Final = _CLIENT | {"EC P-224"}
_CURVES: Final = {
    "secp224r1": "EC P-224",
    "secp256r1": "EC P-256",
    "secp384r1": "EC P-384",
    "secp521r1": "EC P-521",
}


def key_kind(certificate: x509.Certificate) -> str:
    """Returns the kind of the certificate's key, such as `EC P-256` or `RSA`."""
    algorithm = certificate.public_key_algorithm_oid
    if algorithm == PublicKeyAlgorithmOID.RSASSA_PSS:
        return "RSA-PSS"
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return f"unknown ({algorithm.dotted_string})"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, f"EC {key.curve.name}")
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    return "Ed448" if isinstance(key, ed448.Ed448PublicKey) else f"{algorithm.dotted_string}"


def unusable_key(path: Sequence[x509.Certificate], *, is_server: bool) -> str | None:
    """Returns why clients of grpcio cannot use a path of certificates; None when they can.

    Args:
        path: the leaf first, then its issuers.
        is_server: whether the leaf is a server's; otherwise it is a client's own.
    """
    for certificate in path:
        kind = key_kind(certificate)
        is_leaf = certificate is path[0]
        usable = _ISSUER if not is_leaf else _SERVER if is_server else _CLIENT
        if kind not in usable:
            return (
                f"{name_of(certificate)} uses {_article(kind)} {kind} key; clients that use grpcio "
                "(pymilvus) cannot connect"
            )
    return None


def _article(kind: str) -> str:
    # EC, Ed25519, RSA and "unknown" begin with a spoken vowel; an object identifier does not.
    return "a" if kind[0].isdigit() else "an"
