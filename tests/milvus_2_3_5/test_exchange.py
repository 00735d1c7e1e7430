"""A real Milvus 2.3.5 and ours read each other's roles, and decide alike but for known reasons."""

import asyncio
from collections import Counter

import pytest

from tests.bench.peers.milvus import is_installed
from tests.milvus_2_3_5 import exchange as exchanging
from tests.milvus_2_3_5.cases import Outcome
from tests.milvus_2_3_5.differences import (
    ALLOWED_HERE,
    REFUSED_HERE,
    allowed_here,
    explanation,
    refused_here,
)
from tests.milvus_2_3_5.exchange import Exchange, Turn
from tests.milvus_2_3_5.policy import LATER_PRIVILEGES, Grant
from vecguard.privileges.catalogue import PUBLIC

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not is_installed(), reason="Milvus 2.3.5 is not installed: pip install '.[peers]'"
    ),
]


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    return asyncio.run(exchanging.exchange(tmp_path_factory.mktemp("exchange")))


@pytest.fixture(params=["milvus_wrote", "we_wrote"])
def turn(exchange: Exchange, request: pytest.FixtureRequest) -> Turn:
    return getattr(exchange, request.param)


def test_roles_that_milvus_wrote_are_read_whole(exchange):
    theirs, ours = exchange.milvus_wrote.milvus.policy, exchange.milvus_wrote.ours.policy
    assert theirs.users == ours.users
    assert theirs.roles == ours.roles
    assert len(theirs.grants) > 60
    # Root coord adds what later versions of Milvus give to public.
    assert ours.grants == theirs.grants | {Grant(PUBLIC, "Global", "*", "*", "ListAliases")}


def test_milvus_reads_roles_that_we_wrote_whole(exchange):
    theirs, ours = exchange.we_wrote.milvus.policy, exchange.we_wrote.ours.policy
    assert theirs.users == ours.users
    assert theirs.roles == ours.roles
    assert len(theirs.grants) > 100
    # It shows a privilege or a group that it does not know without a name.
    assert theirs.grants == {
        grant._replace(privilege="") if grant.privilege in LATER_PRIVILEGES else grant
        for grant in ours.grants
    }
    assert {grant.privilege for grant in ours.grants} >= set(LATER_PRIVILEGES)


def test_we_allow_nothing_that_milvus_refuses_but_for_known_reasons(turn):
    assert not [each for each in allowed_here(turn) if not explanation(ALLOWED_HERE, each)]


def test_every_other_difference_has_a_known_reason(turn):
    assert not [each for each in refused_here(turn) if not explanation(REFUSED_HERE, each)]


def test_enough_was_compared_and_every_reason_explains_something(exchange, record_property):
    turns = (exchange.milvus_wrote, exchange.we_wrote)
    for turn in turns:
        assert len(turn.cases) >= 2000
        for outcomes in (turn.milvus.outcomes, turn.ours.outcomes):
            number = Counter(outcomes)
            assert number[Outcome.ALLOWED] > 400
            assert number[Outcome.REFUSED] > 400
    lines = [f"{sum(len(turn.cases) for turn in turns)} cases compared with Milvus 2.3.5"]
    for title, differences, found in (
        ("allowed here, refused there", ALLOWED_HERE, allowed_here),
        ("refused here, allowed there", REFUSED_HERE, refused_here),
    ):
        reasons = Counter(explanation(differences, each) for turn in turns for each in found(turn))
        assert reasons.keys() == {each.reason for each in differences}
        lines.append(f"{reasons.total()} {title}:")
        lines += [f"{number:6} {reason}" for reason, number in reasons.most_common()]
    record_property("summary", "\n".join(lines))
