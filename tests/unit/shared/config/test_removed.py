"""A setting that was removed is refused with a text that says what holds now."""

import re

import pytest

from tests.support.policies import limits_with
from vecguard.config import load_settings, settings_catalogue
from vecguard.config.catalogue import variable_of
from vecguard.config.removed import REMOVED
from vecguard.errors import ConfigurationError
from vecguard.proxy.audit import audit_log as audit
from vecguard.proxy.authentication import configured as authentication
from vecguard.proxy.authentication import limits as login_limits
from vecguard.proxy.http2.limits import DEFAULT_FRAME_BYTES
from vecguard.proxy.relay.upstreams.pool import RECONNECT_DELAYS

KEYS = sorted(".".join(path) for path in REMOVED)
_LIMITS = limits_with()
#: What holds now, where it holds.
FIGURES = {
    "audit.window": audit.WINDOW_SECONDS,
    "audit.maxGroups": audit.MAX_GROUPS,
    "audit.queue": audit.MAX_QUEUED,
    "authentication.fetchBurst": authentication.FETCH_BURST,
    "authentication.fetchesPerSecond": authentication.FETCHES_PER_SECOND,
    "authentication.loginLimits.maxTracked": login_limits.MAX_TRACKED,
    "backend.pool.reconnectDelay": RECONNECT_DELAYS.first_seconds,
    "backend.pool.maxReconnectDelay": RECONNECT_DELAYS.longest_seconds,
    "cache.maxRefusals": authentication.MAX_REFUSED_LOGINS,
    "proxy.http2.maxFrameSize": DEFAULT_FRAME_BYTES,
    "proxy.http2.maxUnread": _LIMITS.unread_bytes,
    "proxy.http2.maxUselessFrames": _LIMITS.useless_weight,
}


def in_yaml(key: str, value: str = "1") -> str:
    names = key.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(names)]
    return "\n".join(lines) + f" {value}\n"


@pytest.fixture
def complaint(tmp_path):
    def complaint(text="", **environ):
        path = tmp_path / "vecguard.yaml"
        path.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            load_settings(path, environ)
        return caught.value.message.replace(f"{tmp_path}/", "")

    return complaint


@pytest.mark.parametrize("value", ["1", "", "{a: 1}"])
@pytest.mark.parametrize("key", KEYS)
def test_a_removed_setting_in_a_file_is_refused_with_its_line(complaint, key, value):
    line = len(key.split("."))
    instead = REMOVED[tuple(key.split("."))].instead
    assert complaint(in_yaml(key, value)) == (
        f"vecguard.yaml, line {line}: {key}: removed in 0.2: {instead}; delete the key"
    )


@pytest.mark.parametrize("key", KEYS)
def test_a_removed_setting_in_the_environment_is_refused_with_its_variable(complaint, key):
    variable = variable_of(tuple(key.split(".")))
    instead = REMOVED[tuple(key.split("."))].instead
    for name in (variable, variable.lower()):
        assert complaint(**{name: "1"}) == (
            f"{name}: {key}: removed in 0.2: {instead}; delete the variable"
        )


def test_removed_settings_are_listed_beside_other_problems(complaint):
    message = complaint(
        "proxy: {http2: {maxFrameSize: 1, maxBuffered: 0}}", VECGUARD__AUDIT__QUEUE="1"
    )
    assert message.startswith("the configuration has 3 problems:")
    for part in (
        "VECGUARD__AUDIT__QUEUE: audit.queue: removed in 0.2",
        "vecguard.yaml, line 1: proxy.http2.maxFrameSize: removed in 0.2",
        "proxy.http2.maxBuffered: expected",
    ):
        assert part in message


def test_no_removed_setting_is_one():
    assert not REMOVED.keys() & settings_catalogue().keys.keys()


def test_every_text_has_the_figure_that_holds():
    assert FIGURES.keys() == set(KEYS)
    for key, figure in FIGURES.items():
        instead = REMOVED[tuple(key.split("."))].instead
        assert figure in map(float, re.findall(r"\d+(?:\.\d+)?", instead)), key
