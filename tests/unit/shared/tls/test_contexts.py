import ssl

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.support.certificates import KeyKind, PemFiles, Usage, authority, issue, server_pems
from vecguard.tls import contexts
from vecguard.tls.contexts import client_context, load, mutual_server_context, server_context
from vecguard.tls.material import TlsFiles, TlsMaterialError, judge, take_snapshot


def test_a_one_way_server_asks_for_nothing_and_speaks_1_2(tmp_path):
    _, context = load(server_pems(tmp_path, issue(authority())).files(), server_context)
    assert context.verify_mode is ssl.CERT_NONE
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_mutual_server_requires_a_certificate_and_1_3(tmp_path):
    ca = authority()
    files = server_pems(tmp_path, issue(ca), ca).files(authorities=True)
    _, context = load(files, mutual_server_context)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0


def test_a_mutual_server_without_a_ca_is_refused(tmp_path):
    files = server_pems(tmp_path, issue(authority())).files()
    with pytest.raises(TlsMaterialError, match="needs a CA file"):
        load(files, mutual_server_context)


def test_a_server_without_a_certificate_is_refused():
    with pytest.raises(TlsMaterialError, match="needs a certificate"):
        load(TlsFiles(), server_context)


def test_a_client_checks_chain_and_name(tmp_path):
    pems = PemFiles(tmp_path)
    pems.put_authorities(authority())
    _, context = load(pems.files(identity=False, authorities=True), client_context)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_client_without_a_ca_file_takes_the_systems(monkeypatch):
    asked = []
    monkeypatch.setattr(
        ssl.SSLContext, "load_default_certs", lambda _self, purpose: asked.append(purpose)
    )
    load(TlsFiles(), client_context)
    assert asked == [ssl.Purpose.SERVER_AUTH]


@pytest.mark.parametrize("build", [server_context, client_context])
def test_weak_options_are_off_and_only_http2_suites_are_left(tmp_path, build):
    issued = issue(authority(), usage=Usage.BOTH)
    _, context = load(server_pems(tmp_path, issued).files(), build)
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
        assert context.options & option
    old = [suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    assert old
    assert all(name.startswith("ECDHE-") for name in old)
    assert all("GCM" in name or "POLY1305" in name for name in old)


@pytest.mark.parametrize("kind", KeyKind)
def test_both_kinds_of_keys_load(tmp_path, kind):
    load(server_pems(tmp_path, issue(authority(), kind=kind)).files(), server_context)


def test_a_key_that_becomes_encrypted_is_refused_and_nobody_is_asked(tmp_path):
    ca = authority()
    issued = issue(ca)
    pems = server_pems(tmp_path, issued)
    accepted = judge(take_snapshot(pems.files()))
    encrypted = ca.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    pems.put("own.key", encrypted)
    with pytest.raises(TlsMaterialError, match=r"own\.key.*encrypted"):
        server_context(accepted)


def test_a_set_that_changes_while_it_is_read_is_read_again(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path, issue(ca, "first"))
    rounds = []

    def build(material):
        context = server_context(material)
        rounds.append(material)
        if len(rounds) == 1:
            pems.put_identity(issue(ca, "second"))
        return context

    material, _ = load(pems.files(), build)
    assert len(rounds) == 2
    assert "second" in material.chain[0].subject.rfc4514_string()


def test_a_set_that_never_rests_is_refused(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path, issue(ca))

    def build(material):
        context = server_context(material)
        pems.put_identity(issue(ca))
        return context

    with pytest.raises(TlsMaterialError, match="changed while being read"):
        load(pems.files(), build)


def test_what_openssl_refuses_is_named_with_file_and_setting(tmp_path, monkeypatch):
    pems = server_pems(tmp_path, issue(authority()))

    def refuse(*_arguments, **_options):
        error = ssl.SSLError(1, "[SSL: EE_KEY_TOO_SMALL] ee key too small")
        error.reason = "EE_KEY_TOO_SMALL"
        raise error

    monkeypatch.setattr(contexts.ssl.SSLContext, "load_cert_chain", refuse)
    with pytest.raises(TlsMaterialError, match=r"tls\.serverPemPath: .*ee key too small"):
        load(pems.files(), server_context)
