import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.shared.observability.status_page import reports as detailed
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


@pytest.mark.parametrize("part", [detailed.process(worker=2), detailed.root_coord()])
def test_details_survive_the_wire(part):
    health = detailed.health(part)
    assert read_health(json.dumps(as_json(health))) == health


@pytest.mark.parametrize("details", [None, 1, {}, {"service": "another"}])
def test_details_of_another_version_are_left_out(details):
    assert read_health(json.dumps({"checks": {}, "details": details})) == Health(())
