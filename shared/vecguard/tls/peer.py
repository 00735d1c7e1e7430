"""Reads the names in a peer's certificate, and finds the user among them.

The pattern language of `tls.userFromCertificate`:

    CN                                             the subject's common name, whole
    DNS:{user}.clients.example.com                 a DNS name among the alternative names
    URI:spiffe://cluster.local/ns/*/sa/{user}      a URI among the alternative names

A DNS pattern is compared label by label (split at `.`), a URI pattern part by part (split
at `/`), and both must have equally many. In a part, `*` means one or more characters
and `{user}` for one or more that become the user's name. There is exactly one `{user}`,
and a part holds at most one of either, so that a name can be read in one way only.
DNS names compare without case and give the user in lower case; URIs compare exactly.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from vecguard.errors import ConfigurationError

_USER: Final = "{user}"
_ANY: Final = "*"
_SEPARATORS: Mapping[str, str] = {"DNS": ".", "URI": "/"}

Capture = Literal["", "*", "{user}"]


class UserPatternError(ConfigurationError):
    """`tls.userFromCertificate` is not a pattern of the language above."""

    reason = "tls_user_pattern"


@dataclass(frozen=True, slots=True)
class PeerNames:
    """The names in a certificate that the handshake has verified."""

    common_name: str | None = None
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    @classmethod
    def from_peercert(cls, certificate: Mapping[str, Any] | None) -> Self:
        """Reads `SSLObject.getpeercert()`; empty if there is none or it was not verified.

        A name with unprintable characters (such as a NUL, which may cut it short elsewhere) is
        left out. A common name is left out if there are several.
        """
        if not certificate:
            return cls()
        common = [v for rdn in certificate.get("subject", ()) for k, v in rdn if k == "commonName"]
        alternatives = [
            (kind, value)
            for kind, value in certificate.get("subjectAltName", ())
            if isinstance(value, str) and value and value.isprintable()
        ]
        return cls(
            common_name=common[0] if len(common) == 1 and common[0].isprintable() else None,
            dns_names=tuple(value.lower() for kind, value in alternatives if kind == "DNS"),
            uris=tuple(value for kind, value in alternatives if kind == "URI"),
        )

    def any_of(self, allowed: Collection[str]) -> str | None:
        """Returns the first of the names that is in `allowed`, or None.

        Names must be equal, DNS names in lower case. It decides which certificates may open a
        session.
        """
        own = (*self.uris, *self.dns_names, *((self.common_name,) if self.common_name else ()))
        return next((name for name in own if name in allowed), None)


@dataclass(frozen=True, slots=True)
class _Part:
    prefix: str
    capture: Capture
    suffix: str

    def match(self, text: str) -> str | None:
        """Returns the text in place of the capture ("" without one); None if the text differs."""
        if not self.capture:
            return "" if text == self.prefix else None
        found = text[len(self.prefix) : len(text) - len(self.suffix)]
        whole = self.prefix + found + self.suffix
        return found if found and whole == text else None


@dataclass(frozen=True, slots=True)
class UserPattern:
    """A parsed `tls.userFromCertificate`."""

    source: str
    kind: Literal["CN", "DNS", "URI"]
    parts: tuple[_Part, ...] = ()

    @classmethod
    def parse(cls, source: str) -> Self:
        """Parses a pattern.

        Raises:
            UserPatternError: the text says what is wrong and gives an example.
        """
        if source == "CN":
            return cls(source, "CN")
        kind, colon, template = source.partition(":")
        if not colon or kind not in ("DNS", "URI"):
            raise _refused(source, "it is neither CN nor starts with DNS: or URI:")
        if not template.isprintable() or " " in template:
            raise _refused(source, "it contains a space or an unprintable character")
        if template.count(_USER) != 1:
            raise _refused(source, "it needs {user} exactly once")
        if kind == "DNS":
            template = template.lower()
        parts = tuple(_part(source, text) for text in template.split(_SEPARATORS[kind]))
        return cls(source, "DNS" if kind == "DNS" else "URI", parts)

    def user(self, names: PeerNames) -> str | None:
        """Returns the user's name; None when no name fits or two give different users.

        The caller checks it against the rules for user names; `*` never passes, because a
        wildcard certificate identifies no single user.
        """
        if self.kind == "CN":
            found = {names.common_name} if names.common_name else set()
        else:
            candidates = names.dns_names if self.kind == "DNS" else names.uris
            found = {user for name in candidates if (user := self._capture(name)) is not None}
        if len(found) != 1:
            return None
        user = found.pop()
        return None if _ANY in user else user

    def _capture(self, name: str) -> str | None:
        texts = name.split(_SEPARATORS[self.kind])
        if len(texts) != len(self.parts):
            return None
        user = None
        for part, text in zip(self.parts, texts, strict=True):
            found = part.match(text)
            if found is None:
                return None
            if part.capture == _USER:
                user = found
        return user


def peer_user(pattern: UserPattern, certificate: Mapping[str, Any] | None) -> str | None:
    """Returns the user of a verified peer certificate (`getpeercert()`), or None."""
    return pattern.user(PeerNames.from_peercert(certificate))


def _part(source: str, text: str) -> _Part:
    captures = text.count(_USER) + text.count(_ANY)
    if captures > 1:
        raise _refused(source, f"{text!r} holds more than one of * and {{user}}")
    if not captures:
        if "{" in text or "}" in text:
            raise _refused(source, "braces are only for {user}")
        return _Part(text, "", "")
    capture: Capture = _USER if _USER in text else _ANY
    prefix, _, suffix = text.partition(capture)
    if set("{}") & set(prefix + suffix):
        raise _refused(source, "braces are only for {user}")
    return _Part(prefix, capture, suffix)


def _refused(source: str, why: str) -> UserPatternError:
    return UserPatternError(
        f"tls.userFromCertificate: {source!r} cannot be used: {why}; expected for example "
        "CN, DNS:{user}.clients.example.com or URI:spiffe://cluster.local/ns/*/sa/{user}"
    )
