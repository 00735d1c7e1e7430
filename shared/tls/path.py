"""The certificates that a peer checks, from a leaf up to the CA that the peer trusts.

What a file holds besides these may have ended without any harm: the root itself, an intermediate
of earlier days, or a cross-certificate that an older root once gave to the present one.
"""

from collections.abc import Sequence

from cryptography import x509

from shared.tls.certificates import is_issued_by, is_self_issued

CertificatePath = tuple[x509.Certificate, ...]


def path_of(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> CertificatePath:
    """The path of `chain`, a leaf and its intermediates, as far as it can be known.

    It leads to one of `authorities`. A server need not know what its clients trust: if none of
    `authorities` is reached, the path goes as far as the chain's own intermediates.
    """
    if not chain:
        return ()
    leaf, *others = chain
    return path_to_authority(leaf, others, authorities) or _path_without_authority(leaf, others)


def path_to_authority(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
) -> CertificatePath | None:
    """The certificates from `leaf` to one of `authorities`, both included; None without a path.

    As OpenSSL with partial chains and Go do it, every certificate among `authorities`
    ends a path, self-issued or not. Of several paths it is the one that lasts longest, since
    OpenSSL, BoringSSL and Go try another issuer where one has ended.
    """
    paths: list[CertificatePath] = [(leaf,)]
    visited: set[x509.Certificate] = set()
    while paths:
        # max gives the first of equals, and each longer path stands behind the shorter ones.
        path = max(paths, key=_ends)
        paths.remove(path)
        last = path[-1]
        if last in authorities:
            return path
        if last in visited:
            continue
        visited.add(last)
        paths += [
            (*path, issuer)
            for issuer in (*authorities, *intermediates)
            if issuer not in path and is_issued_by(last, issuer)
        ]
    return None


def _path_without_authority(
    leaf: x509.Certificate, others: Sequence[x509.Certificate]
) -> CertificatePath:
    path = [leaf]
    while True:
        last = path[-1]
        issuers = [each for each in others if each not in path and is_issued_by(last, each)]
        # A root in the file is not used: clients have roots of their own.
        if not issuers or any(is_self_issued(each) for each in issuers):
            return tuple(path)
        issuer = max(issuers, key=lambda each: each.not_valid_after_utc)
        # Above an intermediate, what ended before the leaf began was in no path that ever worked:
        # a cross-certificate whose subject the clients know as a root.
        if last is not leaf and issuer.not_valid_after_utc < leaf.not_valid_before_utc:
            return tuple(path)
        path.append(issuer)


def _ends(path: CertificatePath) -> float:
    return min(certificate.not_valid_after_utc.timestamp() for certificate in path)
