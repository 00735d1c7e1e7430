"""The short form of `make chaos`: each fault once, and each guard taken away once.

A failure keeps the history, the report and the logs in build/chaos/; the seed in the
report repeats the order of the faults: `python -m tests.chaos --seed N`.
"""

import asyncio
import random

import pytest

from tests.chaos import campaign
from tests.chaos.checker import Kind
from tests.chaos.connection_faults import CONNECTION_FAULTS, LoseEtcdLeader, PauseEtcd
from tests.chaos.deployment import Plan, deployment
from tests.chaos.faults import PROCESS_FAULTS
from tests.chaos.history import Subject
from tests.chaos.scenarios import SCENARIOS, Findings, play_with_bugs
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

SEED = random.randrange(10**6)


# A campaign below a minimum rate of requests proves nothing, and fails.
@pytest.mark.alone
async def test_no_old_password_passes_whatever_fails(tmp_path):
    faults = (*PROCESS_FAULTS, *CONNECTION_FAULTS)
    report = await campaign.run(tmp_path, seed=SEED, plan=Plan(), faults=faults)
    assert report.passed, str(report)
    assert {incident.name for incident in report.history.incidents} == {
        fault.name for fault in faults if not isinstance(fault, LoseEtcdLeader)
    }
    acknowledged = report.history.acknowledged()
    assert acknowledged.total() >= 200
    assert acknowledged[Subject.PASSWORD] * 2 <= acknowledged.total()


@pytest.mark.alone
async def test_no_old_password_passes_when_etcd_loses_its_leader(tmp_path):
    faults = (LoseEtcdLeader(), PauseEtcd())
    report = await campaign.run(
        tmp_path, seed=SEED, plan=Plan(members=3, margin="zero"), faults=faults
    )
    assert report.passed, str(report)
    assert len(report.history.incidents) == len(faults)


@pytest.mark.long
async def test_a_root_coord_that_lost_etcd_leads_again_when_it_is_back(tmp_path):
    async with deployment(tmp_path, Plan(proxies=1, root_coords=1)) as parts:
        only = parts.root_coords[0]

        async def lost_its_role() -> bool:
            return not await only.program.ready()

        parts.members[0].pause()
        try:
            await eventually(lost_its_role)
        finally:
            parts.members[0].resume()
        assert await parts.active() is only


@pytest.fixture(scope="module")
def findings(tmp_path_factory) -> Findings:
    """What the checker finds in the story that exposes each bug."""
    return asyncio.run(play_with_bugs(tmp_path_factory.mktemp("guards")))


@pytest.mark.long
@pytest.mark.parametrize("bug", [bug for scenario in SCENARIOS for bug in scenario.bugs])
def test_each_guard_matters(findings, bug):
    violations = findings[bug]
    if isinstance(violations, Exception):
        raise violations
    kinds = {violation.kind for violation in violations}
    assert kinds & {Kind.ACCEPTED_REVOKED, Kind.ALLOWED_REVOKED}
