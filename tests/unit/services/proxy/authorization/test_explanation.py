"""Compares explanations with the decisions, on generated users, grants and calls."""

from collections import Counter

import pytest

from tests.unit.services.proxy.authorization.cases import cases
from tests.unit.services.proxy.authorization.reference import CATALOGUE, decide
from tests.unit.services.proxy.authorization.test_policy_against_reference import (
    by_rights,
    rights_of,
)
from vecguard.errors import InvalidParameterError
from vecguard.privileges.catalogue import flattened, object_type_of
from vecguard.privileges.stored_names import api_name
from vecguard.proxy.authorization.decision import Question
from vecguard.proxy.authorization.explanation import Reason, explain, fields_of
from vecguard.proxy.authorization.methods import METHODS
from vecguard.proxy.authorization.policy import Grant, Rights, RolePolicy
from vecguard.proxy.authorization.request_fields import RequestFields

NEEDS = {need.method: need for need in METHODS.values()}
CASES = 6_000
BOOKS = Grant("Collection", "sales", "books", "PrivilegeSearch")


def alone(role, grants, world):
    """The rights of a user who has no other grants."""
    names = {api_name(grant.privilege) for grant in grants}
    groups = {
        name: flattened([name], world.groups, CATALOGUE)
        for name in names
        if name in world.groups or CATALOGUE.is_built_in_group(name)
    }
    return Rights([RolePolicy(role, grants, groups)])


def parts(grant):
    return grant.object_type, grant.database, grant.object, grant.privilege


def values(fields):
    return fields.database, fields.names, fields.other_database, fields.role


@pytest.mark.parametrize("seed", range(3))
def test_the_grants_that_allow_are_found_and_are_enough(seed):
    seen = Counter()

    def by_granting(case, need, database, names):
        allowed = by_rights(case, need, database, names)
        needed = (need.object_type, need.privilege, database, names)
        found = rights_of(case.world, case.roles).granting(*needed)
        assert (found is not None) == allowed
        seen[allowed] += 1
        if found is not None:
            role, grants = found
            assert role in (*case.roles, "public")
            assert len(grants) == len(names)
            assert set(map(parts, grants)) <= set(map(parts, case.world.grants[role]))
            assert alone(role, grants, case.world).allows_all(*needed)
        return allowed

    for case in cases(seed, CASES):
        assert decide(case, by_granting) == decide(case)
    assert min(seen[True], seen[False]) > CASES / 10


@pytest.mark.parametrize("seed", range(3))
def test_an_explanation_agrees_with_the_decision_and_the_smallest_grants_are_enough(seed):
    seen = Counter()
    for case in cases(200 + seed, CASES):
        need = NEEDS.get(case.method)
        if need is None:
            continue
        names = case.names if need.name or need.names else ("*",)
        other = case.other_database if need.moves_to else ""
        role = case.role if need.own_role else ""
        try:
            fields = RequestFields(case.database, names, other, role)
            question = Question(need, case.user, case.metadata_database or "default", fields)
        except InvalidParameterError:
            continue
        rights = rights_of(case.world, case.roles)
        found = explain(need, question, rights, case.roles)
        assert found.reason.allows == question.is_allowed(rights, case.roles), case
        assert bool(found.role) == bool(found.grants) == (found.reason is Reason.GRANTED)
        assert bool(found.smallest) == (found.reason is Reason.NOT_GRANTED)
        if found.smallest:
            assert question.is_allowed(alone("new", found.smallest, case.world), ())
        seen[found.reason] += 1
    for reason in (Reason.GRANTED, Reason.NOT_GRANTED):
        assert seen[reason] > CASES / 10
    for reason in (Reason.ADMIN, Reason.OWN, Reason.ADMIN_NEEDED):
        assert seen[reason] > 0


def test_a_grant_of_a_privilege_has_the_object_type_that_methods_ask_for():
    # `vecguard role grant` names no type: it follows from the privilege.
    for need in METHODS.values():
        assert object_type_of(api_name(need.privilege)) == need.object_type, need.method


def test_names_that_cannot_exist_need_an_admin():
    need = NEEDS["SelectUser"]
    question = Question(need, "alice", "default", RequestFields("", ("a/b",), "", ""))
    found = explain(need, question, Rights([RolePolicy("reader", [BOOKS], {})]), ("reader",))
    assert found.reason is Reason.ADMIN_NEEDED


def test_a_request_has_what_the_method_is_about():
    search = fields_of(NEEDS["Search"], "sales", ["books"])
    assert values(search) == ("sales", ("books",), "", "")
    create = fields_of(NEEDS["CreateCollection"], "sales", ["books"])
    assert values(create) == ("sales", ("*",), "", "")
    assert fields_of(NEEDS["Flush"], "", ["a", "b"]).names == ("a", "b")
    assert fields_of(NEEDS["SelectGrant"], "", ["reader"]).role == "reader"
    assert fields_of(NEEDS["SelectUser"], "", ["bob"]).names == ("bob",)
    assert fields_of(NEEDS["CreateRole"], "sales", ["reader"]) is None


@pytest.mark.parametrize(
    ("method", "objects", "complaint"),
    [
        ("Search", [], "Search needs the name of a collection"),
        ("Flush", [], "name of a collection"),
        ("SelectUser", [], "name of a user"),
        ("SelectGrant", [], "name of a role"),
        ("Search", ["a", "b"], "one object, not of several"),
    ],
)
def test_a_request_without_its_object_is_refused(method, objects, complaint):
    with pytest.raises(InvalidParameterError, match=complaint):
        fields_of(NEEDS[method], "", objects)
