"""Makes TLS handshakes in memory, to find what only OpenSSL reports about a set of files."""

import ssl
from dataclasses import dataclass
from typing import Final

from vecguard.tls.contexts import client_context, examining_context, load, server_context
from vecguard.tls.material import TlsFiles, TlsMaterialError

#: A handshake of TLS 1.3 takes two flights, with a client certificate three.
_MOST_FLIGHTS: Final = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a handshake fails.

    Attributes:
        reason: in OpenSSL's words.
        is_of_path: whether the peer refuses the certificate or one of its issuers.
    """

    reason: str
    is_of_path: bool = False


def server_refusal(files: TlsFiles, name: str | None) -> Refusal | None:
    """Returns why a client that trusts the CA file refuses the server's files; None if it accepts.

    Args:
        files: certificate, key and CA file.
        name: the host that the client dials; None to leave names unchecked.
    """
    try:
        _, server = load(TlsFiles(files.certificate, files.key), server_context)
        _, client = load(TlsFiles(authorities=files.authorities), client_context)
    except TlsMaterialError as error:
        return Refusal(error.message)
    client.check_hostname = name is not None
    return _refusal(server, client, name)


def client_refusal(files: TlsFiles) -> Refusal | None:
    """Returns why a server that trusts the CA file refuses the client's files; None if it accepts.

    Args:
        files: certificate, key and CA file.
    """
    try:
        # The server needs a certificate, which this client does not check.
        _, server = load(files, examining_context)
        _, client = load(TlsFiles(files.certificate, files.key), client_context)
    except TlsMaterialError as error:
        return Refusal(error.message)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return _refusal(server, client, None)


def _refusal(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> Refusal | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ends = (
            client.wrap_bio(to_client, to_server, server_hostname=name),
            server.wrap_bio(to_server, to_client, server_side=True),
        )
        for _ in range(_MOST_FLIGHTS):
            waiting = [end for end in ends if not _is_done(end)]
            if not waiting:
                return None
    except ssl.SSLCertVerificationError as error:
        return Refusal(error.verify_message, is_of_path=True)
    except ssl.SSLError as error:
        return Refusal((error.reason or str(error)).replace("_", " ").lower())
    except ValueError as error:  # OpenSSL cannot use the name
        return Refusal(str(error))
    return Refusal("the handshake does not end")


def _is_done(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
