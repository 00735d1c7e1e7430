"""Checks PEM by OpenSSL's rules: each BEGIN and END line stands alone (RFC 7468).

Other parsers are more permissive. A file that they accept and OpenSSL does not would pass a check
and stop a service, so what OpenSSL does not read is refused here, by line number.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

_MARKER = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]+)-----")
#: DER of a certificate or key starts with a SEQUENCE whose length takes two bytes.
_DER_PREFIX = b"\x30\x82"


class PemError(Exception):
    """The bytes are not the expected PEM; the text says what is wrong and what to do.

    Attributes:
        cause: what is wrong.
        remedy: what to do; "" when the cause says it.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(f"{cause}; {remedy}" if remedy else cause)
        self.cause = cause
        self.remedy = remedy


def labels(pem: bytes, wanted: str) -> tuple[str, ...]:
    """Returns the labels of the blocks of a PEM text, such as CERTIFICATE, in order.

    Args:
        pem: the file's content.
        wanted: what the file should hold, for the errors: "certificate" or "private key".

    Raises:
        PemError: there is no block, a block is cut off, or OpenSSL does not read it.
    """
    _require_text(pem)
    found: list[str] = []
    begun: tuple[str, int] | None = None
    lines = [line.rstrip() for line in pem.removeprefix(BOM_UTF8).split(b"\n")]
    for number, line in enumerate(lines, 1):
        kind, label = _marker(line, number)
        if kind == "BEGIN" and begun is None:
            begun = label, number
        elif kind == "END" and begun is not None and begun[0] == label:
            found.append(label)
            begun = None
        elif kind:
            raise (
                _cut_off(begun)
                if begun
                else PemError(
                    f"is cut off: the END {label} of line {number} has no BEGIN line",
                    "copy it again",
                )
            )
        elif begun is not None and b":" in line and not begun[0].endswith("PRIVATE KEY"):
            raise PemError(
                f"has a header inside a block, on line {number}, which OpenSSL does not read",
                "remove it",
            )
    if begun is not None:
        raise _cut_off(begun)
    last = next((line for line in reversed(lines) if line), b"")
    if last.startswith(b"-") and not _MARKER.fullmatch(last):
        raise PemError("is cut off in its last line", "copy it again")
    if not found:
        raise _no_block(pem, wanted)
    return tuple(found)


def _require_text(pem: bytes) -> None:
    if pem.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise PemError(
            "is UTF-16 text, as Windows PowerShell writes it", "save it as ASCII or UTF-8"
        )
    if b"\n" not in pem and b"\r" in pem:
        raise PemError("has line ends without a line feed (CR alone)", "save it with LF or CRLF")


def _marker(line: bytes, number: int) -> tuple[str, str]:
    """Returns BEGIN or END and the label; two empty texts for another line."""
    markers = list(_MARKER.finditer(line))
    if not markers:
        return "", ""
    if len(markers) > 1:
        raise PemError(
            f"has two PEM markers on line {number}, which OpenSSL does not read: "
            f"{markers[0][0].decode()} and {markers[1][0].decode()}",
            "put a line end between them "
            "(it is missing when files are joined and the first has no line end)",
        )
    marker = markers[0]
    if marker[0] != line:
        raise PemError(
            f"has text next to {marker[0].decode()} on line {number}, and OpenSSL does "
            "not read such a line",
            "put the marker alone at the start of its line",
        )
    return marker[1].decode(), marker[2].decode()


def _cut_off(begun: tuple[str, int]) -> PemError:
    label, number = begun
    return PemError(
        f"is cut off: the BEGIN {label} of line {number} has no END line, as in a half-written "
        "file",
        "copy it again",
    )


def _no_block(pem: bytes, wanted: str) -> PemError:
    if not pem.strip():
        return PemError("is empty")
    if pem.startswith(_DER_PREFIX):
        return PemError("is DER, not PEM", f"convert it to a {wanted} in PEM")
    return PemError(f"is not PEM; a {wanted} in PEM starts with a line -----BEGIN ...-----")
