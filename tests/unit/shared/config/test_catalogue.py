import re

from vecguard.config import settings_catalogue

KEYS = settings_catalogue().keys


def test_keys_are_spelled_as_in_milvus():
    dotted = {key.dotted for key in KEYS.values()}
    assert dotted >= {
        "etcd.ssl.tlsCACert",
        "etcd.metaSubPath",
        "common.security.authorizationEnabled",
        "common.security.internaltlsEnabled",
        "internaltls.serverPemPath",
        "proxy.grpc.serverMaxRecvSize",
        "rootCoord.port",
    }


def test_every_key_says_what_it_means_and_expects():
    for key in KEYS.values():
        assert key.description.endswith((".", "-")), key.dotted
        assert key.expected, key.dotted


def test_every_section_says_what_it_is_about():
    catalogue = settings_catalogue()
    sections = {path[:depth] for path in KEYS for depth in range(1, len(path))}
    assert catalogue.descriptions.keys() == sections
    for path, text in catalogue.descriptions.items():
        assert text.endswith("."), path


def test_every_duration_and_size_names_its_unit():
    timed = re.compile(
        r"(ttl|timeout|interval|fixed|size|window|buffered|age|grace|delay)$", re.IGNORECASE
    )
    unit = re.compile(r"a (whole )?number of (milliseconds|seconds|bytes)\b")
    for key in KEYS.values():
        if timed.search(key.path[-1]):
            assert unit.match(key.expected), key.dotted


def test_bounds_are_put_in_words():
    expected = {key.dotted: key.expected for key in KEYS.values()}
    assert expected["proxy.port"] == "a whole number from 0 to 65535"
    assert expected["common.security.tlsMode"] == "a whole number from 0 to 2"
    assert expected["lease.ttl"] == "a number of seconds above 0"
    assert expected["lease.grace"] == "a number of seconds, 0 or more"
    assert expected["lease.clockMargin.ratio"] == "a number, 0 or more and below 1"
    assert expected["proxy.maxPasswordLength"] == "a whole number of characters from 1 to 1024"
    assert expected["proxy.maxUserNum"] == "a whole number, 1 or more"
    assert expected["proxy.forwardAuthorization"] == "true or false"
    assert expected["log.level"] == "one of debug, info, warn, error"


def test_exactly_the_passwords_are_secret():
    assert {key.dotted for key in KEYS.values() if key.secret} == {
        "etcd.auth.password",
        "common.security.defaultRootPassword",
    }


def test_every_variable_finds_its_own_key_in_any_case():
    catalogue = settings_catalogue()
    for key in KEYS.values():
        assert catalogue.by_variable(key.variable) is key
        assert catalogue.by_variable(key.variable.lower()) is key


def test_similar_key_is_found_beside_and_elsewhere():
    catalogue = settings_catalogue()
    assert catalogue.similar(("proxy", "prot")) == "proxy.port"
    assert catalogue.similar(("root_coord",)) == "rootCoord"
    assert catalogue.similar(("proxy", "max_user_num")) == "proxy.maxUserNum"
    assert catalogue.similar(("proxy", "bcryptCost")) == "authentication.bcryptCost"
    assert catalogue.similar(("zzzzzzzz",)) is None
