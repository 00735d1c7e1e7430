"""Compares `Rights` with the reference model on generated users, grants and calls."""

from collections import Counter
from functools import lru_cache

import pytest

from tests.unit.services.proxy.authorization.cases import cases
from tests.unit.services.proxy.authorization.reference import (
    CATALOGUE,
    Case,
    MethodNeed,
    World,
    decide,
)
from vecguard.privileges.catalogue import flattened
from vecguard.privileges.stored_names import api_name
from vecguard.proxy.authorization.policy import Grant, Rights, RolePolicy

SEEDS = range(4)
CASES_PER_SEED = 7_500


@lru_cache(maxsize=100)
def role_policy(world: World, role: str) -> RolePolicy:
    # What root coord sends: raw grants, and the groups that they name without groups in them.
    grants = [
        Grant(grant.object_type, grant.database, grant.object, grant.privilege)
        for grant in world.grants.get(role, ())
    ]
    groups = {
        name: flattened([name], world.groups, CATALOGUE)
        for name in {api_name(grant.privilege) for grant in grants}
        if name in world.groups or CATALOGUE.is_built_in_group(name)
    }
    return RolePolicy(role, grants, groups)


@lru_cache(maxsize=1000)
def rights_of(world: World, roles: tuple[str, ...]) -> Rights:
    return Rights([role_policy(world, role) for role in (*roles, "public")])


def by_rights(case: Case, need: MethodNeed, database: str, names: tuple[str, ...]) -> bool:
    rights = rights_of(case.world, case.roles)
    if need.has_names:
        return rights.allows_all(need.object_type, need.privilege, database, names)
    return rights.allows(need.object_type, need.privilege, database, names[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_rights_decide_as_the_model(seed):
    seen = Counter()
    for case in cases(seed, CASES_PER_SEED):
        expected = decide(case)
        assert decide(case, by_rights) == expected, case
        seen[expected[0]] += 1
    # Neither answer is rare.
    assert min(seen[True], seen[False]) > CASES_PER_SEED / 5


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_without_an_object_agree_with_the_model(seed):
    seen = Counter()

    def by_need_only(case, need, database, names):
        rights = rights_of(case.world, case.roles)
        everywhere = rights.allows_everywhere(need.object_type, need.privilege)
        nowhere = rights.allows_nowhere(need.object_type, need.privilege)
        assert not (everywhere and nowhere)
        can_exist = (
            names
            and "." not in database
            and not any("/" in name for name in (database, *names))
            and (need.object_type == "User" or not any("." in name for name in names))
        )
        allowed = by_rights(case, need, database, names)
        if nowhere:
            assert not allowed
        if everywhere and can_exist:
            assert allowed
        seen["everywhere"] += everywhere
        seen["nowhere"] += nowhere
        return allowed

    for case in cases(seed, CASES_PER_SEED // 5):
        assert decide(case, by_need_only) == decide(case)
    assert min(seen["everywhere"], seen["nowhere"]) > CASES_PER_SEED / 100
