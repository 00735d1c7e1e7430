"""Makes ssl contexts: one-way and mutual, for servers and clients.

A context offers only `h2`. Python's server side continues when a client offers none of its
protocols, so a listener that needs HTTP/2 checks `selected_alpn_protocol()`.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from vecguard.tls.live import Handshake
from vecguard.tls.material import (
    PemFile,
    TlsFiles,
    TlsMaterial,
    TlsMaterialError,
    judge,
    require_usage,
    take_snapshot,
)

#: Makes a context of accepted material.
ContextBuilder = Callable[[TlsMaterial], ssl.SSLContext]

#: HTTP/2 forbids all other suites in TLS 1.2 (RFC 9113, section 9.2.2 and appendix A).
#: TLS 1.3's suites are all allowed and not subject to this list.
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: A set that changes while it is read is read again; after so many attempts it is an error.
_READ_ATTEMPTS = 3


def server_context(material: TlsMaterial) -> ssl.SSLContext:
    """Returns a context of a server that asks for no client certificate: TLS 1.2 or newer.

    Raises:
        TlsMaterialError: the files have no certificate, it is not for servers, or OpenSSL
            refuses it.
    """
    require_usage(material, is_server=True)
    context = _context(ssl.PROTOCOL_TLS_SERVER, ssl.TLSVersion.TLSv1_2)
    _load_identity(context, material)
    return context


def mutual_server_context(material: TlsMaterial) -> ssl.SSLContext:
    """Returns a context of a server that requires a client certificate of the set's CAs: TLS 1.3.

    Sessions are not resumed: the certificate of a resumed session would not be checked again,
    and gRPC clients do not resume anyway.

    Raises:
        TlsMaterialError: certificate or CAs are missing, the certificate is not for servers, or
            OpenSSL refuses them.
    """
    require_usage(material, is_server=True)
    return examining_context(material)


def examining_context(material: TlsMaterial) -> ssl.SSLContext:
    """Returns a mutual server context with a certificate for any usage.

    It serves to examine what servers say of a client's certificate.

    Raises:
        TlsMaterialError: certificate or CAs are missing, or OpenSSL refuses them.
    """
    if not material.authorities:
        raise TlsMaterialError("mutual TLS needs a CA file to verify client certificates")
    context = _context(ssl.PROTOCOL_TLS_SERVER, ssl.TLSVersion.TLSv1_3)
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    _load_identity(context, material)
    _load_authorities(context, material)
    return context


def client_context(
    material: TlsMaterial, *, minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> ssl.SSLContext:
    """Returns a client context: checks the server by the set's CAs, or the system's, and its name.

    A certificate in the set is shown to a server that asks for one (mutual TLS). It may be for
    servers only, because not every server asks; a ReloadingContext warns of it.

    Raises:
        TlsMaterialError: OpenSSL refuses the certificate or the CAs.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, minimum_version)
    if material.chain:
        _load_identity(context, material)
    if material.authorities:
        _load_authorities(context, material)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def mutual_client_context(material: TlsMaterial) -> ssl.SSLContext:
    """Returns a context of a client of a `mutual_server_context`, with a certificate: TLS 1.3.

    Raises:
        TlsMaterialError: the certificate is not for clients, or OpenSSL refuses it or the CAs.
    """
    require_usage(material, is_server=False)
    return client_context(material, minimum_version=ssl.TLSVersion.TLSv1_3)


def load(files: TlsFiles, build: ContextBuilder) -> tuple[TlsMaterial, ssl.SSLContext]:
    """Reads and judges files, and builds a context that holds exactly what was judged.

    OpenSSL takes a key only by its path and so reads it a second time; the files are
    compared afterwards, and everything is repeated if they changed in between.

    Raises:
        TlsMaterialError: the set is not usable, or it keeps changing.
    """
    for _ in range(_READ_ATTEMPTS):
        material = judge(take_snapshot(files))
        context = build(material)
        if take_snapshot(files).digest == material.digest:
            return material, context
    names = ", ".join(str(file.path) for file in files)
    raise TlsMaterialError(f"{names} changed while being read; rename new files over old ones")


def _context(protocol: int, minimum: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.sslobject_class = Handshake
    context.minimum_version = minimum
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        | ssl.OP_SINGLE_ECDH_USE
    )
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols(["h2"])
    # Go, and so Milvus, accepts every certificate of a CA file as an anchor, including an
    # intermediate or a pinned server. The same files must work here.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _load_identity(context: ssl.SSLContext, material: TlsMaterial) -> None:
    certificate, key = material.files.certificate, material.files.key
    if certificate is None or key is None:
        raise TlsMaterialError("a TLS server needs a certificate and a key; none is configured")
    try:
        context.load_cert_chain(certificate.path, key.path, password=_refuse_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise certificate.problem(
            f"with key {key.path} ({key.setting}) is refused by OpenSSL: {_reason(error)}"
        ) from error


def _load_authorities(context: ssl.SSLContext, material: TlsMaterial) -> None:
    try:
        context.load_verify_locations(cadata=material.authorities_der())
    except (ssl.SSLError, ValueError) as error:
        file = material.files.authorities or PemFile(Path("-"), "CA")
        raise file.problem(f"is refused by OpenSSL: {_reason(error)}") from error


def _refuse_passphrase() -> str:
    # Without this, OpenSSL asks on the terminal when a key was encrypted after it was judged.
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
