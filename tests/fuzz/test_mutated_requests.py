"""Mutated requests: some in every run, a million by `make fuzz`."""

import random

import pytest

from tests.fuzz import mutated_requests
from tests.fuzz.mutated_requests import mutated, run
from tests.support import request_oracle
from tests.support.request_oracle import NEEDS

CASES = 60_000


def test_mutated_requests_are_read_as_protobuf_reads_them(record_property):
    outcomes, differences = run(CASES)
    assert differences[:5] == []
    assert outcomes.total() == CASES
    # None of the ways is rare.
    assert set(outcomes) == {"read", "refused by both", "refused by us", "no single message"}
    assert min(outcomes.values()) > CASES / 100
    record_property("summary", f"{CASES} mutated requests, 0 differences from protobuf")


def test_every_method_gets_requests_of_many_kinds():
    for need in NEEDS:
        dice = random.Random(need.method)
        assert len({mutated(need, dice) for _ in range(100)}) > 50


@pytest.mark.parametrize(
    ("database", "is_seen"),
    [("", True), ("default", False)],
)
def test_a_difference_is_seen(monkeypatch, database, is_seen):
    """A scanner that finds no database, and one that finds what there is."""
    real = request_oracle.scanned

    def scanned(*arguments, **options):
        found = real(*arguments, **options)
        return found if database else found._replace(database=database)

    monkeypatch.setattr(request_oracle, "scanned", scanned)
    _, differences = mutated_requests.run(1000)
    assert bool(differences) == is_seen
