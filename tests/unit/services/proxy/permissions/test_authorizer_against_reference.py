"""Compares whole decisions, from the bytes of a request on, with the reference model."""

from collections import Counter
from math import inf
from random import Random

import pytest
from pymilvus.grpc_gen import milvus_pb2

from tests.support.credentials import hashed
from tests.support.header_blocks import request_head
from tests.support.raw_http2 import message
from tests.unit.services.proxy.authorization.cases import cases
from tests.unit.services.proxy.authorization.reference import NEEDS, Case, decide
from tests.unit.services.proxy.authorization.test_policy_against_reference import rights_of
from vecguard.errors import InvalidParameterError
from vecguard.proxy.authentication.credentials import Credential, CredentialCache
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authorization.errors import PermissionDeniedError
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.permissions.role_cache import RoleCache, RolesRead
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.headers import RequestHead

HASH = hashed("first1")
SEEDS = range(4)
CASES_PER_SEED = 6_000
# No database and no collection has such a name: we refuse them, and Milvus compares them.
SPECIAL = frozenset(".*?[]\\/")
METHODS = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name


def head_of(case: Case) -> RequestHead:
    database = case.metadata_database
    return request_head(
        path_of(case), *([] if database is None else [(b"dbname", database.encode())])
    )


class Client:
    def __init__(self):
        self.precedents = {}

    def host(self):
        return None


class Call:
    """A call of which the request has come in one piece, or has not come yet."""

    def __init__(self, data=None):
        self.data = data

    def request_in_one_piece(self):
        return self.data


class NoSource:
    """All is held, so nothing is fetched."""


class Trusted(Trust):
    def is_valid(self, now=None):
        return True

    async def wait(self):
        return True

    def explain(self):
        raise AssertionError


def authorizer_of(case: Case) -> RoleAuthorizer:
    """Returns an authorizer that holds the user of the case."""

    def clock() -> float:
        return 0.0

    credentials = CredentialCache(
        NoSource(),
        ttl_seconds=inf,
        max_known=1,
        max_unknown=1,
        refresh_interval_seconds=1,
        clock=clock,
    )
    credentials._store(Credential(case.user, HASH, 1, 1, case.roles))
    roles = RoleCache(NoSource(), ttl_seconds=inf, clock=clock, under_lease=lambda: True)
    roles._store(case.roles, rights_of(case.world, case.roles), RolesRead(1, (), 0))
    return RoleAuthorizer(
        credentials,
        roles,
        Trusted(),
        clock,
        root_is_bound=case.root_should_bind_role,
        enforced=True,
        strict=case.strict,
        max_request_bytes=2**20,
    )


def path_of(case: Case) -> bytes:
    return b"/milvus.proto.milvus.MilvusService/" + case.method.encode()


def request_of(case: Case) -> bytes:
    method = METHODS.get(case.method)
    if method is None:
        # A method that is newer than the installed pymilvus: database 2 and collection 3.
        values = {"db_name": case.database, "collection_name": "".join(case.names)}
        return milvus_pb2.SearchRequest(**values).SerializeToString()
    request = getattr(milvus_pb2, method.input_type.name, None)
    if request is None:
        return b""
    request = request()
    fields = method.input_type.fields_by_name
    if "db_name" in fields:
        request.db_name = case.database
    for other in ("newDBName", "target_db_name"):
        if other in fields and case.method in ("RenameCollection", "RestoreSnapshot"):
            setattr(request, other, case.other_database)
    if case.method == "SelectGrant":
        request.entity.role.name = case.role
    elif case.method == "SelectUser":
        request.user.name = case.names[0]
    elif case.method == "Flush":
        request.collection_names.extend(case.names)
    elif case.names:
        need = NEEDS[case.method]
        names = [
            field.name
            for field in fields.values()
            if field.name in ("collection_name", "collectionName", "username", "user_name")
        ]
        assert need.has_name
        setattr(request, names[0], case.names[0])
    return request.SerializeToString()


def decided(case: Case, random: Random) -> tuple[bool, str]:
    """Returns whether a call passes, and the text of its refusal."""
    try:
        user, client, authorizer = Principal(case.user, 1), Client(), authorizer_of(case)
        permission = authorizer.permission(user, head_of(case), client, Call())
        if permission is None or permission.is_given:
            return True, ""
        data = message(request_of(case))
        cuts = sorted(random.choices(range(len(data) + 1), k=random.randint(0, 3)))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            permission.read(data[start:end])
        permission.decide()
    except (PermissionDeniedError, InvalidParameterError) as error:
        assert not client.precedents
        return False, error.message
    assert permission.is_given
    if client.precedents:
        again = authorizer.permission(user, head_of(case), client, Call(data))
        assert again is permission
    return True, ""


def has_database(case: Case) -> bool:
    method = METHODS.get(case.method)
    return method is None or "db_name" in method.input_type.fields_by_name


@pytest.mark.parametrize("seed", SEEDS)
def test_calls_are_decided_as_by_the_model(seed):
    random, seen = Random(seed), Counter()
    for generated in cases(100 + seed, CASES_PER_SEED):
        case = generated
        if not has_database(case):
            case = Case(**{**fields_of(case), "database": ""})
        expected, database = decide(case)
        allowed, text = decided(case, random)
        seen[allowed] += 1
        if allowed != expected:
            databases = (case.database, case.metadata_database or "")
            # A user who may do it everywhere is not asked for names: the backend refuses names that
            # cannot exist, and to flush no collection does nothing.
            is_empty = case.method == "Flush" and not case.names
            is_special = SPECIAL & set("".join((*databases, *case.names)))
            assert is_special or (allowed and is_empty), case
            seen["explained"] += 1
        elif not allowed and text.startswith("Privilege"):
            need = NEEDS[case.method]
            assert text == (
                f"{need.privilege}: permission deny to {case.user} in the `{database}` database"
            )
            seen["text"] += 1
    assert min(seen[True], seen[False], seen["text"]) > CASES_PER_SEED / 5
    assert seen["explained"] < CASES_PER_SEED / 50


def fields_of(case: Case) -> dict:
    return {field: getattr(case, field) for field in case.__dataclass_fields__}
