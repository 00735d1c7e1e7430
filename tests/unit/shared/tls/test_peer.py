import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vecguard.errors import ConfigurationError
from vecguard.tls.peer import PeerNames, UserPattern, UserPatternError, peer_user

USERS = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=32)
WORDS = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8)
SPIFFE = UserPattern.parse("URI:spiffe://cluster.local/ns/*/sa/{user}")


def certificate(common_name=None, **alternatives):
    """What getpeercert() gives."""
    subject = ((("commonName", common_name),),) if common_name is not None else ()
    names = tuple((kind, value) for kind, values in alternatives.items() for value in values)
    return {"subject": subject, "subjectAltName": names}


def user(pattern, cert):
    return peer_user(UserPattern.parse(pattern), cert)


def test_the_common_name_is_the_user():
    assert user("CN", certificate("alice", DNS=["bob.example.com"])) == "alice"


def test_without_a_certificate_there_is_no_user():
    assert user("CN", None) is None
    assert user("CN", {}) is None
    assert user("CN", certificate(DNS=["alice"])) is None


def test_two_common_names_are_nobody():
    cert = {"subject": ((("commonName", "alice"),), (("commonName", "root"),))}
    assert user("CN", cert) is None


@pytest.mark.parametrize("name", ["root\0.example", "ro\not", "", "*", "a*"])
def test_a_name_that_could_be_read_in_two_ways_is_nobody(name):
    assert user("CN", certificate(name)) is None


def test_a_wildcard_certificate_is_nobody():
    assert user("DNS:{user}.example.com", certificate(DNS=["*.example.com"])) is None


def test_a_dns_name_is_compared_without_case():
    cert = certificate(DNS=["Alice.Clients.Example.COM"])
    assert user("DNS:{user}.clients.example.com", cert) == "alice"
    assert user("DNS:{user}.CLIENTS.example.com", cert) == "alice"


def test_a_uri_is_compared_with_case():
    pattern = "URI:spiffe://cluster.local/ns/*/sa/{user}"
    assert user(pattern, certificate(URI=["spiffe://cluster.local/ns/a/sa/Alice"])) == "Alice"
    assert user(pattern, certificate(URI=["spiffe://Cluster.local/ns/a/sa/alice"])) is None


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://cluster.local/ns/prod/sa/alice/more",
        "spiffe://cluster.local/ns/prod/extra/sa/alice",
        "spiffe://cluster.local/ns//sa/alice",
        "spiffe://cluster.local/ns/prod/sa/",
        "spiffe://cluster.local.evil/ns/prod/sa/alice",
        "xspiffe://cluster.local/ns/prod/sa/alice",
        "spiffe://cluster.local/ns/prod/sa/al\0ice",
        "",
    ],
)
def test_a_uri_of_another_shape_is_nobody(uri):
    assert peer_user(SPIFFE, certificate(URI=[uri])) is None


def test_names_of_another_kind_do_not_count():
    uri = "spiffe://cluster.local/ns/prod/sa/alice"
    assert peer_user(SPIFFE, certificate(uri, DNS=[uri], email=[uri])) is None


def test_two_names_for_different_users_are_nobody():
    names = [f"spiffe://cluster.local/ns/prod/sa/{each}" for each in ("alice", "root")]
    assert peer_user(SPIFFE, certificate(URI=names)) is None
    assert peer_user(SPIFFE, certificate(URI=[names[0], names[0]])) == "alice"


def test_a_prefix_and_a_suffix_frame_the_user():
    pattern = "DNS:client-{user}-eu.example.com"
    assert user(pattern, certificate(DNS=["client-alice-eu.example.com"])) == "alice"
    assert user(pattern, certificate(DNS=["client--eu.example.com"])) is None
    assert user(pattern, certificate(DNS=["client-eu.example.com"])) is None
    assert user(pattern, certificate(DNS=["people-alice-eu.example.com"])) is None
    assert user(pattern, certificate(DNS=["client-alice-us.example.com"])) is None


@pytest.mark.parametrize(
    "source",
    [
        "",
        "cn",
        "CN:{user}",
        "CN ",
        "DNS",
        "DNS:",
        "DNS:example.com",
        "DNS:*.example.com",
        "DNS:{user}.{user}.com",
        "DNS:*{user}.com",
        "DNS:**.{user}.com",
        "DNS:{name}.{user}",
        "DNS:{{user}}.com",
        "DNS:{user}.ex ample",
        "URI:spiffe://a/{user}\n",
        "EMAIL:{user}@example.com",
        "IP:{user}",
    ],
)
def test_what_is_no_pattern_stops_the_start(source):
    with pytest.raises(UserPatternError, match=r"tls\.userFromCertificate.*expected for example"):
        UserPattern.parse(source)
    assert issubclass(UserPatternError, ConfigurationError)


@given(USERS, WORDS)
def test_the_user_put_into_a_uri_comes_out_again(name, namespace):
    uri = f"spiffe://cluster.local/ns/{namespace}/sa/{name}"
    assert peer_user(SPIFFE, certificate(URI=[uri])) == name


@given(st.lists(WORDS | st.just("*"), min_size=1, max_size=5), st.data())
def test_a_name_made_from_its_pattern_gives_its_user(words, data):
    place = data.draw(st.integers(0, len(words)))
    name = data.draw(WORDS)
    pattern = ".".join([*words[:place], "{user}", *words[place:]])
    made = ".".join("any" if part == "*" else name if part == "{user}" else part
                    for part in pattern.split("."))  # fmt: skip
    assert user(f"DNS:{pattern}", certificate(DNS=[made])) == name


@given(st.text(max_size=60))
def test_whatever_text_comes_is_a_pattern_or_a_clear_error(source):
    try:
        pattern = UserPattern.parse(source)
    except UserPatternError:
        return
    assert pattern.source == source


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
def test_a_user_never_spans_parts_and_is_printable(uri, dns, common_name):
    cert = certificate(common_name, URI=[uri], DNS=[dns])
    for source, separator in (("URI:{user}", "/"), ("URI:*/{user}", "/"), ("DNS:{user}.*", ".")):
        found = user(source, cert)
        if found is not None:
            assert found
            assert separator not in found
            assert found.isprintable()
            assert "*" not in found


@given(WORDS, WORDS, st.sampled_from(["/", "x", ".", "%2F"]))
def test_a_longer_host_is_another_host(host, name, extra):
    pattern = f"URI:spiffe://{host}/{{user}}"
    assert user(pattern, certificate(URI=[f"spiffe://{host}{extra}/{name}"])) is None


@given(WORDS, WORDS)
def test_only_the_exact_literal_matches(literal, other):
    assume(literal != other)
    assert user(f"DNS:{literal}.{{user}}", certificate(DNS=[f"{other}.alice"])) is None


def test_a_list_of_allowed_names_is_compared_whole():
    names = PeerNames.from_peercert(
        certificate("Proxy One", DNS=["Proxy.Internal"], URI=["spiffe://c/proxy"])
    )
    assert names.any_of(["proxy.internal"]) == "proxy.internal"
    assert names.any_of(["Proxy One"]) == "Proxy One"
    assert names.any_of({"spiffe://c/proxy"}) == "spiffe://c/proxy"
    assert names.any_of(["proxy", "internal", ""]) is None
    assert PeerNames().any_of([""]) is None
