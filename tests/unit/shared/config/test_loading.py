"""Defaults, then the file, then the environment; and one message for all that is wrong."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vecguard.config import Settings, load_settings, render, settings_catalogue
from vecguard.errors import ConfigurationError
from vecguard.secret import Secret

KEYS = settings_catalogue().keys


@pytest.fixture
def load(tmp_path):
    def load(text="", **environ):
        path = tmp_path / "vecguard.yaml"
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return load_settings(path, environ)

    return load


@pytest.fixture
def complaint(load, tmp_path):
    """The message of a failed load, with the file's folder left out."""

    def complaint(text="", **environ):
        with pytest.raises(ConfigurationError) as caught:
            load(text, **environ)
        return caught.value.message.replace(f"{tmp_path}/", "")

    return complaint


def test_nothing_said_means_the_defaults():
    assert load_settings(None, {}) == Settings()


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "null\n", "proxy:\n  # port: 1\n", b"\xef\xbb\xbf"]
)
def test_a_file_that_says_nothing_is_fine(load, text):
    assert load(text) == Settings()


def test_file_wins_over_defaults_and_environment_over_both(load):
    settings = load(
        """
        proxy: {port: 1, ip: 127.0.0.1}
        etcd: {endpoints: "a:1, b:2"}
        """,
        VECGUARD__PROXY__PORT="2",
        vecguard__log__level="DEBUG",
    )
    assert settings.proxy.port == 2
    assert settings.proxy.ip == "127.0.0.1"
    assert settings.proxy.max_user_num == 100
    assert settings.etcd.endpoints == ("a:1", "b:2")
    assert settings.log.level == "debug"


def test_environment_text_becomes_what_the_key_needs():
    settings = load_settings(
        None,
        {
            "VECGUARD__COMMON__SECURITY__AUTHORIZATIONENABLED": "false",
            "VECGUARD__COMMON__SECURITY__SUPERUSERS": "ann, bob",
            "VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORD": "123456",
            "VECGUARD__COMMON__SECURITY__TLSMODE": "",
            "VECGUARD__CACHE__TTL": "1.5",
            "VECGUARD__ROOTCOORD__ADDRESSES": "a:1,b:2",
            "VECGUARD__PROXY__OPERATIONS__PORT": " 0 ",
        },
    )
    assert settings.common.security.authorization_enabled is False
    assert settings.common.security.super_users == ("ann", "bob")
    assert settings.common.security.default_root_password == Secret("123456")
    assert settings.common.security.tls_mode is None
    assert settings.cache.ttl == 1.5
    assert settings.root_coord.addresses == ("a:1", "b:2")
    assert settings.proxy.operations.port == 0


def test_variables_that_kubernetes_sets_for_a_service_are_not_ours():
    environ = {
        "VECGUARD_PROXY_PORT": "tcp://10.0.0.1:19530",
        "VECGUARD_PROXY_OPERATIONS_PORT": "tcp://10.0.0.1:9091",
        "VECGUARD_PROXY_SERVICE_PORT": "19530",
        "VECGUARD_A__B_SERVICE_HOST": "10.0.0.1",
        "VECGUARD_A__B_PORT_19530_TCP_ADDR": "10.0.0.1",
        # A link of Docker copies the environment of the linked container.
        "VECGUARD_ROOT_COORD_ENV_VECGUARD__ROOTCOORD__IP": "0.0.0.0",
        "VECGUARD_CONFIG": "x",
        "VECGUARD_PASSWORD": "x",
        "VECGUARD_TLS": "true",
    }
    assert load_settings(None, environ) == Settings()


@pytest.mark.parametrize("name", ["VECGUARD_ETCD__ENDPOINTS", "VECGUARD_TRACE__ENDPOINT"])
def test_a_url_does_not_hide_a_missing_underscore(name):
    with pytest.raises(ConfigurationError, match=f"{name}: unknown environment variable"):
        load_settings(None, {name: "http://elsewhere:4318"})


def test_a_date_is_text(load):
    assert load("etcd: {rootPath: 2024-01-01}").etcd.root_path == "2024-01-01"


def test_anchors_and_merges_work(load):
    settings = load(
        """
        proxy: {operations: &ops {ip: 127.0.0.1, port: 1}}
        rootCoord:
          operations:
            <<: *ops
            port: 2
        """
    )
    assert settings.root_coord.operations.ip == "127.0.0.1"
    assert settings.root_coord.operations.port == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "proxy:\n  port: '19530'",
            'vecguard.yaml, line 2: proxy.port: expected a whole number from 0 to 65535, found "1',
        ),
        ("proxy:\n  port: true", "expected a whole number from 0 to 65535, found true"),
        ("proxy:\n  port: 1.0", "expected a whole number from 0 to 65535, found 1.0"),
        ("proxy:\n  port: 65536", "found 65536"),
        ("proxy:\n  port:\n", "expected a whole number from 0 to 65535, found nothing"),
        ("proxy:\n  port: [1]", "found a list"),
        ("proxy:\n  port: {a: 1}", "found a section"),
        ("cache: {ttl: .nan}", "cache.ttl: expected a number of seconds above 0, found NaN"),
        ("cache: {ttl: .inf}", "cache.ttl: expected a number of seconds above 0, found Infinity"),
        ("cache: {ttl: true}", "cache.ttl: expected a number of seconds above 0, found true"),
        ("common: {security: {tlsMode: true}}", "expected a whole number from 0 to 2"),
        ("common: {security: {tlsEnabled: 1}}", "tlsEnabled: expected true or false, found 1"),
        ("tls: {caPemPath: 5}", "tls.caPemPath: expected text, found 5 (put it in quotes)"),
        ("log: {level: loud}", "log.level: expected one of debug, info, warn, error"),
        ("revocation: off", "revocation: expected one of strict, bounded, found false"),
        ("proxy: {nameValidation: {extraChars: ' '}}", "text that consists only of . and -"),
        (
            "etcd: {endpoints: ['a:1', 'b']}",
            "etcd.endpoints[1]: expected a list, or text separated by commas",
        ),
        ("etcd: {endpoints: ''}", "etcd.endpoints: expected a list, or text separated by commas"),
        ("etcd: {endpoints: 5}", "etcd.endpoints: expected a list, or text separated by commas"),
        ("backend: {address: 'http://x:1'}", "backend.address: expected host:port without"),
        ("etcd: {rootPath: ''}", "expected text that is not empty"),
        ("proxy: {ip: '0.0.0.0,::'}", "proxy.ip: expected one IP address or host name, without"),
        (
            "proxy: {proxyProtocol: {trusted: [10.0.0.0/8, 10.0.0.1/8]}}",
            "proxy.proxyProtocol.trusted[1]: '10.0.0.1/8' is no IP network: bits are set after",
        ),
        (
            "proxy: {forwardedFor: {trusted: envoy}}",
            "proxy.forwardedFor.trusted[0]: 'envoy' is no IP network: expected an address and a",
        ),
        (
            "proxy: {forwardedFor: {trusted: 5}}",
            "proxy.forwardedFor.trusted: expected a list, or text separated by commas, of IP",
        ),
        ("proxy: {forwardedFor: {hops: 0}}", "expected a whole number from 1 to 16, found 0"),
        ("proxy: 5", "proxy: expected a section, found a single value"),
        ("proxy: [1]", "proxy: expected a section, found a list"),
        (
            "\n\nproxy:\n  prot: 1",
            "vecguard.yaml, line 4: proxy.prot: unknown key; did you mean proxy.port?",
        ),
        ("rootcoord: {}", "rootcoord: unknown key; did you mean rootCoord?"),
        # The file has one spelling, though code may use the attribute's name.
        ("root_coord: {}", "root_coord: unknown key; did you mean rootCoord?"),
        ("zzz: 1", "vecguard.yaml, line 1: zzz: unknown key"),
        ("proxy: {port: 1}\nproxy: {port: 2}", "line 2: proxy: already set in line 1"),
        ("proxy: {port: 1, port: 1}", "line 1: proxy.port: already set in line 1"),
        ("1: x", "line 1: expected a name as key, found another type"),
        ("? [a]\n: x", "line 1: expected a name as key, found another type"),
        ("- a", "line 1: expected sections such as `proxy:`, found something else"),
        ("just text", "line 1: expected sections such as `proxy:`, found something else"),
        ("proxy:\n\tport: 1", "vecguard.yaml, line 2: not YAML"),
        ("proxy: {port: 1", "not YAML"),
        ("a: 1\n--- \nb: 2", "not YAML"),
        ("proxy: {port: 0x_}", "not YAML: a value does not fit its type"),
        (f"proxy: {{port: {'9' * 5000}}}", "not YAML: a value does not fit its type"),
        ("[" * 5000, "nested too deeply"),
        (b"a: 1\nb: \xff\n", "vecguard.yaml, line 2: expected UTF-8 text, found other bytes"),
        (b"a: 1\nb: \x00\n", "vecguard.yaml, line 2: expected YAML, found a control character"),
    ],
)
def test_message_names_place_key_expected_and_found(complaint, text, expected):
    assert expected in complaint(text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "VECGUARD__PROXY__PORT",
            "tcp://1",
            'VECGUARD__PROXY__PORT: proxy.port: expected a whole number from 0 to 65535, found "t',
        ),
        ("VECGUARD__PROXY__PORT", "", 'found ""'),
        ("VECGUARD__PROXY__PORT", "1_0", 'found "1_0"'),
        ("VECGUARD__PROXY__PORT", "9" * 5000, 'found "999'),
        ("VECGUARD__CACHE__TTL", "inf", "cache.ttl: expected a number of seconds above 0"),
        ("VECGUARD__TLS__CAPEMPATHS", "x", "VECGUARD__TLS__CAPEMPATHS: unknown environment"),
        ("VECGUARD__PROXY__POTR", "1", "did you mean VECGUARD__PROXY__PORT?"),
        (
            "VECGUARD_PROXY__PORT",
            "1",
            "variable; did you mean VECGUARD__PROXY__PORT?",
        ),
        ("vecguard__proxy", "1", "vecguard__proxy: unknown environment variable"),
        ("VECGUARD__", "1", "VECGUARD__: unknown environment variable"),
        ("VECGUARD_PROXY__PORT", "1", "VECGUARD_PROXY__PORT: unknown environment variable; did"),
        ("VECGUARD_PROXY__PORT", "1", "did you mean VECGUARD__PROXY__PORT?"),
        ("vecguard_proxy_port", "1", "did you mean VECGUARD__PROXY__PORT?"),
        ("VECGUARD__PROXY_PORT", "1", "did you mean VECGUARD__PROXY__PORT?"),
        ("VECGUARD_PROXY__POTR", "1", "did you mean VECGUARD__PROXY__PORT?"),
        (
            "VECGUARD_COMMON_SECURITY_TLS_MODE",
            "1",
            "did you mean VECGUARD__COMMON__SECURITY__TLSMODE?",
        ),
        (
            "VECGUARD__COMMON__SECURITY__AUTHORIZATIONENABLED",
            "maybe",
            'expected true or false, found "maybe"',
        ),
    ],
)
def test_message_names_the_variable(complaint, name, value, expected):
    assert expected in complaint("", **{name: value})


@pytest.mark.parametrize("key", ["ETCD__AUTH__PASSWORD", "ETCD__ROOTPATH", "ETCD__ENDPOINTS"])
def test_bytes_that_are_not_utf_8_in_the_environment_are_refused(key):
    value = b"a\xff:1".decode(errors="surrogateescape")
    with pytest.raises(ConfigurationError, match=f"{key}: .* is not UTF-8 text"):
        load_settings(None, {f"VECGUARD__{key}": value})


BOM = "\ufeff"


@pytest.mark.parametrize("before", ["", BOM])
@pytest.mark.parametrize("after", ["", "\n", "\r\n", "\n\n", "\r\n\r\n"])
def test_what_only_the_carrier_adds_is_no_part_of_a_text(load, before, after):
    def carried(text):
        return before + text + after

    tree = {
        "common": {"security": {"defaultRootPassword": carried(" a secret ")}},
        "etcd": {
            "endpoints": [carried("a:1"), carried("b:2")],
            "rootPath": carried(" by-dev"),
            "auth": {"userName": carried("ann"), "password": carried("hunter2")},
        },
        "log": {"level": carried("debug")},
    }
    environ = {
        "VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORD": carried(" a secret "),
        "VECGUARD__ETCD__ENDPOINTS": carried("a:1,b:2"),
        "VECGUARD__ETCD__ROOTPATH": carried(" by-dev"),
        "VECGUARD__ETCD__AUTH__USERNAME": carried("ann"),
        "VECGUARD__ETCD__AUTH__PASSWORD": carried("hunter2"),
        "VECGUARD__LOG__LEVEL": carried("debug"),
    }
    for settings in (load(yaml.safe_dump(tree).encode()), load_settings(None, environ)):
        assert settings.common.security.default_root_password == Secret(" a secret ")
        assert settings.etcd.endpoints == ("a:1", "b:2")
        assert settings.etcd.root_path == " by-dev"
        assert settings.etcd.auth.user_name == "ann"
        assert settings.etcd.auth.password == Secret("hunter2")
        assert settings.log.level == "debug"


def test_a_control_character_within_a_text_is_named_with_its_place(complaint):
    message = complaint(
        'etcd:\n  rootPath: "by\\tdev"\n  auth: {password: "hunter\\nhunter2"}\n',
        VECGUARD__ETCD__AUTH__USERNAME="ann\nbob",
    )
    assert "vecguard.yaml, line 2: etcd.rootPath: its value contains a control character" in message
    assert "vecguard.yaml, line 3: etcd.auth.password: its value contains a line break" in message
    assert (
        "VECGUARD__ETCD__AUTH__USERNAME: etcd.auth.userName: its value contains a line" in message
    )
    assert "hunter" not in message


def test_a_variable_in_two_spellings_is_refused(complaint):
    message = complaint("", VECGUARD__PROXY__PORT="1", vecguard__proxy__port="2")
    assert "vecguard__proxy__port: proxy.port: also set by VECGUARD__PROXY__PORT" in message


def test_one_message_lists_every_problem(complaint):
    message = complaint(
        """
        proxy:
          prot: 1
          port: x
          minPasswordLength: 9
          maxPasswordLength: 8
        cache: {ttl: 0}
        """,
        VECGUARD__LEASE__TTL="1",
        VECGUARD__LOG__FORMAT="xml",
        VECGUARD__NONSENSE="1",
    )
    assert message.startswith("the configuration has 8 problems:\n")
    for part in (
        "line 3: proxy.prot",
        "line 4: proxy.port",
        "line 5 and vecguard.yaml, line 6: proxy.minPasswordLength, proxy.maxPasswordLength",
        "line 7: cache.ttl",
        "VECGUARD__LEASE__TTL: lease.renewInterval, lease.ttl: renewals every 1 s are too rare",
        "VECGUARD__LEASE__TTL: lease.ttl, election.ttl: a lease (1 s) must be longer",
        "VECGUARD__LOG__FORMAT: log.format: expected one of auto, text, json",
        "VECGUARD__NONSENSE: unknown environment variable",
    ):
        assert part in message


def test_a_repeated_section_is_one_problem(complaint):
    message = complaint("proxy: {port: 1, ip: a}\nproxy: {port: 2, ip: b}")
    assert message == "vecguard.yaml, line 2: proxy: already set in line 1"


def test_a_faulty_value_causes_no_second_complaint(complaint):
    # The default of lease.ttl would not go with this renewInterval; but no source sets it.
    message = complaint("lease: {ttl: x, renewInterval: 9}")
    assert "lease.ttl: expected a number of seconds above 0" in message
    assert "too rare" not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot read the file: No such file"):
        load_settings(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load_settings(tmp_path, {})


def test_an_unreadable_file_does_not_hide_unknown_variables(tmp_path):
    with pytest.raises(ConfigurationError, match="VECGUARD__X: unknown"):
        load_settings(tmp_path / "none.yaml", {"VECGUARD__X": "1"})


@pytest.mark.parametrize(
    "text",
    [
        "etcd: {auth: {password: [hunter2]}}",
        "etcd: {auth: {password: {a: hunter2}}}",
        "etcd: {auth: {pasword: hunter2}}",
        "etcd: {auth: hunter2}",
        "etcd: hunter2",
        "hunter2",
        # A password that begins with YAML's own characters.
        "etcd: {auth: {password: *hunter2}}",
        "etcd: {auth: {password: !hunter2 x}}",
        "etcd: {auth: {password: &a hunter2}}\nx: *hunter2",
        "etcd: {auth: {password: %hunter2}}",
        "etcd: {auth: {password: @hunter2}}",
        'etcd: {auth: {password: "hunter2}}',
        "etcd: {auth: {password: hunter2: x}}",
        "etcd: {auth: {password: hunter2]}}",
        "common: {security: {defaultRootPassword: 'hunter2', defaultRootPassword: 'hunter2'}}",
    ],
)
def test_no_message_repeats_a_secret(complaint, text):
    assert "hunter2" not in complaint(text)


def test_a_number_where_a_secret_belongs_is_not_shown(complaint):
    message = complaint("etcd: {auth: {password: 4711}}")
    assert "expected text, found a number (not shown) (put it in quotes)" in message
    assert "4711" not in message


def test_a_long_value_is_cut_in_the_message(complaint):
    assert len(complaint(f"proxy: {{port: {'x' * 10_000}}}")) < 300


def test_aliases_that_form_a_circle_are_refused_in_time(complaint):
    assert "proxy.proxy: unknown key" in complaint("&r\nproxy: *r")


# --- properties -----------------------------------------------------------------------------

WORDS = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\ufeff", exclude_categories=["Cs", "Cc", "Zl", "Zp"]
    )
)


URLS = st.from_regex("https?://[a-z]+(:[1-9][0-9]{0,3})?", fullmatch=True)

#: Keys that do not go with every value of another one keep their defaults.
ENTANGLED = re.compile(
    r"^(lease|election|tls|internaltls)\.|PasswordLength|auth\.enabled|tls", re.IGNORECASE
)


def _value(key):
    """Any value that the key takes."""
    if ENTANGLED.search(key.dotted):
        return st.just(key.default)
    if "one of" in key.expected:
        return st.sampled_from(key.expected.removeprefix("one of ").split(", "))
    if "host:port" in key.expected:
        address = st.integers(1, 65535).map("host:{}".format)
        several = st.lists(address, min_size=1, max_size=3).map(tuple)
        return several if key.kind is tuple else address
    if "networks" in key.expected:
        return st.lists(st.ip_addresses().map(str), max_size=3).map(tuple)
    if bounds := re.fullmatch(
        r"a whole number(?: of \w+)? from (\d{4,}|4|1) to (\d+)", key.expected
    ):
        return st.integers(int(bounds[1]), int(bounds[2]))
    return {
        Secret: WORDS.filter(lambda text: text != "<redacted>"),
        tuple: st.lists(st.from_regex("[a-z]+", fullmatch=True), max_size=3).map(tuple),
        Mapping: st.dictionaries(
            st.from_regex(r"/[a-z]+\.[A-Z]+/([a-z]+|\*)", fullmatch=True),
            st.lists(st.from_regex("[a-z]+", fullmatch=True), min_size=1, max_size=3).map(tuple),
            max_size=3,
        ),
        bool: st.booleans(),
        int: st.integers(5, 30),
        float: st.floats(0.001, 1.0 if key.expected.endswith(" to 1") else 1e9),
        str: URLS if "URL" in key.expected else st.text("-.", min_size=1),
    }[key.kind]


VALUES = st.fixed_dictionaries({}, optional={path: _value(key) for path, key in KEYS.items()})


def _tree(values):
    tree: dict = {}
    for path, value in values.items():
        below = tree
        for name in path[:-1]:
            below = below.setdefault(name, {})
        below[path[-1]] = _in_file(value)
    return tree


def _in_file(value):
    if isinstance(value, dict):
        return {name: _in_file(each) for name, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _attribute(settings, path):
    value = settings
    for name in path:
        attribute = next(
            each
            for each, field in type(value).model_fields.items()
            if (field.alias or each) == name
        )
        value = getattr(value, attribute)
    return value.reveal() if isinstance(value, Secret) else value


def _as_text(value):
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


@given(VALUES, VALUES)
@hypothesis_settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_every_key_comes_from_the_last_source_that_says_it(tmp_path_factory, in_file, in_environ):
    path = Path(tmp_path_factory.getbasetemp()) / "merge.yaml"
    path.write_text(yaml.safe_dump(_tree(in_file), allow_unicode=False), encoding="utf-8")
    environ = {KEYS[each].variable: _as_text(value) for each, value in in_environ.items()}

    settings = load_settings(path, environ)

    for each, key in KEYS.items():
        default = key.default.reveal() if isinstance(key.default, Secret) else key.default
        expected = in_environ.get(each, in_file.get(each, default))
        assert _attribute(settings, each) == expected, key.dotted


@given(VALUES)
@hypothesis_settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_rendered_settings_load_again_as_the_same(tmp_path_factory, values):
    path = Path(tmp_path_factory.getbasetemp()) / "rendered.yaml"
    path.write_text(yaml.safe_dump(_tree(values)), encoding="utf-8")
    settings = load_settings(path, {})

    path.write_text(render(settings), encoding="utf-8")
    secrets = {key.variable: _attribute(settings, each) for each, key in KEYS.items() if key.secret}

    assert load_settings(path, secrets) == settings


@given(st.one_of(st.binary(), st.text("&*!-:?{}[],#|>'\"%@` \n\ta1<~").map(str.encode)))
@example(b"proxy: {port: !!python/object:os.system x}")
@example(b"x: !!timestamp 2024-13-45")
@example(b"!!set {a, b}")
@example(b"!!omap [a: 1]")
@example(b"x: !!bool maybe")
@example(b"x: !!int ''")
@example(b"x: !!timestamp x")
@example(b"proxy: !!set {port}")
@example(b"proxy: !!pairs [port: 1]")
@hypothesis_settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
def test_whatever_a_file_holds_the_answer_is_settings_or_a_clear_error(tmp_path_factory, content):
    path = Path(tmp_path_factory.getbasetemp()) / "any.yaml"
    path.write_bytes(content)
    message = ""
    try:
        load_settings(path, {})
    except ConfigurationError as error:
        message = error.message
    assert not message or "any.yaml" in message


@pytest.mark.parametrize("name", ["VECGUARD_PROXY_PORT", "VECGUARD_ADDRESS", "OTHER__PROXY__PORT"])
def test_a_variable_that_is_not_ours_is_ignored(name):
    # Kubernetes makes the first one of a Service's name.
    assert load_settings(None, {name: "tcp://10.0.0.1:19530"}) == load_settings(None, {})
