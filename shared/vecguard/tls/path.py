"""Finds the certificates that a peer checks, from a leaf up to the CA that the peer trusts.

Other certificates in a file may be out of date without harm: the root itself, an earlier
intermediate, the successor of one, or a cross-certificate of the present root by an older one.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

from cryptography import x509

from vecguard.tls.certificates import is_issued_by, is_self_issued, may_issue, public_key_of

CertificatePath = tuple[x509.Certificate, ...]

_Certificates = tuple[x509.Certificate, ...]
#: Whether a certificate has ended, whether it has not begun, and its end, negative.
_Rank = tuple[bool, bool, float]


def rank(certificate: x509.Certificate, now: float) -> _Rank:
    """Orders certificates at `now` (seconds since the epoch), the best first.

    The valid ones come first, then those not valid yet, then the expired ones. Among equals, the
    last to end comes first.
    """
    ends = certificate.not_valid_after_utc.timestamp()
    return ends <= now, certificate.not_valid_before_utc.timestamp() > now, -ends


class Paths:
    """Finds the paths of one chain; at each moment peers use the best.

    OpenSSL, BoringSSL and Go try another issuer when one is not valid. Signatures are verified
    once, here; the dates are compared when a path is requested.
    """

    def __init__(
        self, chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
    ) -> None:
        """Finds the issuer of each certificate.

        Args:
            chain: a leaf and its intermediates, these in any order; may be empty.
            authorities: CAs that a path can end at.
        """
        self._leaf = chain[0] if chain else None
        self._others = frozenset(chain[1:]) - {self._leaf}
        self._authorities = frozenset(authorities)
        self._issuers = _issuers(chain[:1], (*authorities, *chain[1:]))

    def best(self, now: float) -> CertificatePath:
        """Returns the path at `now` (seconds since the epoch), as far as it can be known.

        It leads to one of the CAs. A server need not know what its clients trust: if no CA is
        reached, the path goes as far as the chain's own intermediates.
        """
        return self.to_authority(now) or self._without_authority(now)

    def to_authority(self, now: float) -> CertificatePath | None:
        """Returns the best path from the leaf to a CA, both included; None without a path.

        As in OpenSSL with partial chains and in Go, every certificate among the CAs ends a path,
        self-issued or not. A path is as good as its worst certificate.
        """
        if self._leaf is None:
            return None
        order = count()  # among equals the first found, since longer paths are found later
        found: list[tuple[_Rank, int, CertificatePath]] = []
        heappush(found, (rank(self._leaf, now), next(order), (self._leaf,)))
        tried: set[int] = set()
        while found:
            worst, _, path = heappop(found)
            if path[-1] in self._authorities:
                return path
            issuers = self._issuers[path[-1]]
            # The best path to a group of equal issuers came first.
            if id(issuers) in tried:
                continue
            tried.add(id(issuers))
            for issuer in issuers:
                if issuer not in path:
                    reached = max(worst, rank(issuer, now))
                    heappush(found, (reached, next(order), (*path, issuer)))
        return None

    def _without_authority(self, now: float) -> CertificatePath:
        if self._leaf is None:
            return ()
        leaf, path = self._leaf, [self._leaf]
        tried: set[int] = set()
        while True:
            last = path[-1]
            known = self._issuers[last]
            issuers = [each for each in known if each in self._others and id(known) not in tried]
            tried.add(id(known))
            # A root in the file is not used: clients have their own roots.
            if not issuers or any(is_self_issued(each) for each in issuers):
                return tuple(path)
            issuer = min(issuers, key=lambda each: rank(each, now))
            # Above an intermediate, a certificate that ended before the leaf began was never part
            # of a working path, and a certificate that has not begun is not part of one yet: a
            # cross-certificate whose subject the clients know as a root.
            ended_before = issuer.not_valid_after_utc < leaf.not_valid_before_utc
            begins_later = issuer.not_valid_before_utc.timestamp() > now
            if last is not leaf and (ended_before or begins_later):
                return tuple(path)
            path.append(issuer)


def _issuers(
    leaf: Sequence[x509.Certificate], candidates: Sequence[x509.Certificate]
) -> dict[x509.Certificate, _Certificates]:
    """Returns the issuers of the leaf, and of every certificate that a path from it can reach.

    Certificates of one name and key are one tuple: each signature is verified once by one of
    them, not by all.
    """
    by_name: dict[x509.Name, dict[bytes, list[x509.Certificate]]] = {}
    for each in dict.fromkeys(candidates):
        if may_issue(each):
            by_key = by_name.setdefault(each.subject, {})
            by_key.setdefault(public_key_of(each), []).append(each)
    groups = {
        name: tuple(tuple(each) for each in by_key.values()) for name, by_key in by_name.items()
    }
    found: dict[x509.Certificate, _Certificates] = {}
    followed: set[int] = set()
    waiting = list(leaf)
    while waiting:
        certificate = waiting.pop()
        if certificate in found:
            continue
        issuers = next(
            (
                group
                for group in groups.get(certificate.issuer, ())
                if is_issued_by(certificate, group[0])
            ),
            (),
        )
        found[certificate] = issuers
        if id(issuers) not in followed:
            followed.add(id(issuers))
            waiting += issuers
    return found
