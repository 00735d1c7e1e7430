import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.observability.health import Check, Health
from vecguard.observability.health_json import as_json, read_health

checks = st.builds(Check, st.text(), st.booleans(), st.booleans(), st.text())
reports = st.lists(checks, unique_by=lambda check: check.name).map(lambda each: Health(tuple(each)))


@given(reports)
def test_a_report_survives_the_wire(health):
    body = json.dumps(as_json(health))
    assert read_health(body) == health
    assert read_health(body.encode()) == health


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"checks": 1}',
        b'{"checks": []}',
        b'{"checks": {"logins": 1}}',
        b'{"checks": {"logins": {"healthy": true, "critical": true}}}',
    ],
)
def test_what_is_no_report_is_a_value_error(body):
    with pytest.raises(ValueError):
        read_health(body)
