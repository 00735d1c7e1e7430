"""A file is taken as OpenSSL takes it, or refused in words."""

import ssl

import pytest

from tests.support.certificates import Party, PemFiles, pem
from vecguard.tls.certificates import read_certificates
from vecguard.tls.contexts import load, server_context
from vecguard.tls.material import TlsMaterialError
from vecguard.tls.pem import PemError

ROOT, INTER, LEAF = Party("root"), Party("inter"), Party("leaf")
OWN = pem(INTER.certifies(LEAF, is_ca=False))
MORE = pem(ROOT.certifies(INTER))
CHAIN = OWN + MORE
KEY = LEAF.key_pem
EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def on_one_line(block):
    first, *middle, last = block.splitlines()
    return b"\n".join((first, b"".join(middle), last, b""))


GOOD = {
    "plain": CHAIN,
    "without a last line end": CHAIN.rstrip(),
    "byte order mark": b"\xef\xbb\xbf" + CHAIN,
    "CRLF": CHAIN.replace(b"\n", b"\r\n"),
    "blanks at line ends": CHAIN.replace(b"\n", b" \t\n"),
    "text between": b"subject: leaf\n" + OWN + "Köln\n".encode() + MORE,
    "key in the same file": CHAIN + KEY,
    "key first": KEY + CHAIN,
    "X509 CERTIFICATE": CHAIN.replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
    "base64 on one line": on_one_line(OWN) + MORE,
}
GLUED = OWN.rstrip() + MORE
BAD = {
    "glued": (GLUED, r"two PEM markers on line \d+.*put a line end between them"),
    "glued to the key": (OWN.rstrip() + KEY, r"BEGIN PRIVATE KEY-----; put a line end"),
    "indented": (b"  " + CHAIN, r"text next to -----BEGIN CERTIFICATE----- on line 1,"),
    "text before a marker": (b"my " + CHAIN, r"put the marker alone at the start"),
    "text after a marker": (OWN.rstrip() + b" x\n" + MORE, r"text next to -----END"),
    "CR alone": (CHAIN.replace(b"\n", b"\r"), "CR alone"),
    "UTF-16": (CHAIN.decode().encode("utf-16"), "UTF-16"),
    "TRUSTED CERTIFICATE": (
        OWN.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE") + MORE,
        r"TRUSTED CERTIFICATE.*openssl x509 -in FILE -out NEW",
    ),
    "header in a block": (
        CHAIN.replace(
            b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\na: b\n\n", 1
        ),
        "has a header inside a block, on line 2",
    ),
    "another thing": (
        OWN.replace(b" CERTIFICATE", b" PKCS7"),
        "no readable certificate, but PKCS7",
    ),
    "END without BEGIN": (b"\n".join(OWN.splitlines()[1:]), r"is cut off: the END CERTIFICATE"),
    "BEGIN within": (OWN[:300] + b"\n" + MORE, r"is cut off: the BEGIN CERTIFICATE of line 1"),
}


def loaded(pems):
    return load(pems.files(), server_context)


def put(tmp_path, certificate=CHAIN, key=KEY):
    pems = PemFiles(tmp_path)
    pems.put("own.pem", certificate)
    pems.put("own.key", key)
    return pems


def openssl_takes(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("name", GOOD)
def test_what_openssl_reads_is_read(tmp_path, name):
    material, _ = loaded(put(tmp_path, GOOD[name]))
    assert pem(*material.chain) == CHAIN


@pytest.mark.parametrize("name", BAD)
def test_what_openssl_does_not_read_is_refused_in_words(tmp_path, name):
    content, words = BAD[name]
    pems = put(tmp_path, content)
    with pytest.raises(PemError, match=words):
        read_certificates(content)
    with pytest.raises(TlsMaterialError, match=words):
        loaded(pems)
    # The one form that OpenSSL alone reads.
    assert openssl_takes(tmp_path) is (name == "TRUSTED CERTIFICATE")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (EC_PARAMETERS + KEY, None),
        (CHAIN + KEY, None),
        (b"Bag Attributes\n  name: x\n" + KEY, None),
        (KEY.replace(b"\n", b"\r\n"), None),
        (EC_PARAMETERS.rstrip() + KEY, "two PEM markers on line 3"),
        (b"  " + KEY, "text next to"),
        (KEY.replace(b" PRIVATE", b" OPENSSH PRIVATE"), "no readable private key"),
        (CHAIN, "no readable private key, but CERTIFICATE"),
    ],
)
def test_a_key_is_taken_as_openssl_takes_it(tmp_path, key, words):
    pems = put(tmp_path, key=key)
    assert openssl_takes(tmp_path) is (words is None)
    if words is None:
        loaded(pems)
    else:
        with pytest.raises(TlsMaterialError, match=words) as caught:
            loaded(pems)
        assert KEY.splitlines()[1].decode() not in caught.value.message
