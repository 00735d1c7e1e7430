"""A slow, plain model of what Milvus's proxy decides, to compare the real decision with.

It knows nothing of `vecguard.proxy.authorization`. Methods and what they need come from the
installed pymilvus; a policy is the text `<type>-<database>.<name>` with a privilege, for one role,
as in Milvus's proxy; every request is compared with every policy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vecguard.privileges.catalogue import V1_GROUPS, Catalogue, Level, object_type_of

CATALOGUE = Catalogue()


@dataclass(frozen=True, slots=True)
class StoredGrant:
    object_type: str
    database: str
    object: str
    privilege: str


@dataclass(frozen=True, eq=False)
class World:
    """What is stored."""

    grants: Mapping[str, tuple[StoredGrant, ...]]  # by role
    groups: Mapping[str, tuple[str, ...]]  # custom groups, which may be nested, by API names


@dataclass(frozen=True)
class Case:
    """A user, and a call of a method of MilvusService."""

    world: World
    user: str
    roles: tuple[str, ...]  # without `public`
    method: str
    database: str = ""  # in the request
    metadata_database: str | None = None
    names: tuple[str, ...] = ()  # of the field that names the object; several for Flush only
    other_database: str = ""  # of RenameCollection and RestoreSnapshot
    role: str = ""  # of SelectGrant
    strict: bool = True
    root_should_bind_role: bool = False


@dataclass(frozen=True)
class MethodNeed:
    object_type: str
    privilege: str  # as stored
    has_name: bool = False
    has_names: bool = False
    is_message: bool = False  # the field that names the object is a message


def _needs_of_pymilvus():
    needs, without = {}, set()
    for method in milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods:
        options = method.input_type.GetOptions()
        if not options.HasExtension(common_pb2.privilege_ext_obj):
            without.add(method.name)
            continue
        option = options.Extensions[common_pb2.privilege_ext_obj]
        index = option.object_name_index
        needs[method.name] = MethodNeed(
            common_pb2.ObjectType.Name(option.object_type),
            common_pb2.ObjectPrivilege.Name(option.object_privilege),
            has_name=index > 0,
            has_names=option.object_name_indexs > 0,
            is_message=index > 0
            and method.input_type.fields_by_number[index].message_type is not None,
        )
    return needs, without


_MANAGE_RLS = MethodNeed("Collection", "PrivilegeManageRLS", has_name=True)
_VIEW_RLS = MethodNeed("Collection", "PrivilegeViewRLS", has_name=True)
# pymilvus 3.0 lacks the last five; the first three have other privileges there.
_NEWER = {
    "CreateRowPolicy": _MANAGE_RLS,
    "DropRowPolicy": _MANAGE_RLS,
    "ListRowPolicies": _VIEW_RLS,
    "UpdateRowPolicy": _MANAGE_RLS,
    "SetRLSPrincipalTags": _MANAGE_RLS,
    "GetRLSPrincipalTags": _VIEW_RLS,
    "ListRLSPrincipals": _VIEW_RLS,
    "DeleteRLSPrincipalTags": _MANAGE_RLS,
}
# Milvus decides about streams by a table of its own.
_STREAMS = {
    "CreateReplicateStream": MethodNeed("Global", "PrivilegeUpdateReplicateConfiguration"),
    "DumpMessages": MethodNeed("Global", "PrivilegeManageOwnership"),
}
_NEEDS_OF_PYMILVUS, _WITHOUT = _needs_of_pymilvus()
NEEDS: Mapping[str, MethodNeed] = {**_NEEDS_OF_PYMILVUS, **_NEWER, **_STREAMS}
WITHOUT_PRIVILEGE = frozenset(_WITHOUT - _STREAMS.keys())
OPEN = frozenset(
    {
        *("Connect", "GetVersion", "CheckHealth", "GetComponentStates", "AllocTimestamp"),
        *("HasCollection", "ShowCollections", "ListDatabases", "GetFlushAllState"),
        *("GetCompactionState", "GetCompactionStateWithPlans", "GetImportState"),
        *("RunAnalyzer", "ComputePhraseMatchSlop"),
    }
)

ByRoles = Callable[[Case, MethodNeed, str, tuple[str, ...]], bool]


def decide(case: Case, by_roles: ByRoles | None = None) -> tuple[bool, str]:
    """Returns whether the call is allowed, and the database by which it is judged.

    The database is "" for a method that needs no privilege or is for admins only.

    Args:
        case: the call.
        by_roles: decides by grants, instead of the model.
    """
    is_admin = "admin" in case.roles or (case.user == "root" and not case.root_should_bind_role)
    need = NEEDS.get(case.method)
    if need is None:
        is_open = case.method in (WITHOUT_PRIVILEGE if not case.strict else OPEN)
        return is_admin or is_open, ""
    database = policy_database(case, need)
    names = object_names(case, need)
    if is_admin and (names or case.user == "root"):
        return True, database
    if need.object_type == "User" and names == (case.user,):
        return True, database
    if case.method == "SelectGrant" and case.role in (*case.roles, "public"):
        return True, database
    return (by_roles or allowed_by_roles)(case, need, database, names), database


def policy_database(case: Case, need: MethodNeed) -> str:
    database = case.database or case.metadata_database or "default"
    if CATALOGUE.level_of(need.privilege.removeprefix("Privilege")) is Level.CLUSTER:
        return "*"
    if case.method in _STREAMS:
        return "*"
    if case.method in ("RenameCollection", "RestoreSnapshot") and (
        case.other_database not in ("", database)
    ):
        return "*"
    return database


def object_names(case: Case, need: MethodNeed) -> tuple[str, ...]:
    if need.has_names:
        return case.names
    if not need.has_name:
        return ("*",)
    (name,) = case.names
    return ("*",) if need.is_message and not name else (name,)


def allowed_by_roles(case: Case, need: MethodNeed, database: str, names: tuple[str, ...]) -> bool:
    """Returns whether one role allows every name."""
    if not names:
        return False
    for name in names:
        # Our own rule: no object of Milvus has such a name, and the key of no grant can hold it.
        if "." in database or "/" in database + name:
            return False
        if "." in name and need.object_type != "User":
            return False
    for role in (*case.roles, "public"):
        policies = policies_of(case.world, role)
        if all(
            enforce(policies, role, f"{need.object_type}-{database}.{name}", need.privilege)
            for name in names
        ):
            return True
    return False


def enforce(policies, role: str, obj: str, act: str) -> bool:
    """The matcher of Milvus's proxy; all policies are of the role."""
    if role == "admin":
        return True
    for policy_obj, policy_act in policies:
        if matches(policy_act, act) and matches(policy_obj, obj):
            return True
        if database_of(policy_obj) == database_of(obj) and group_contains(
            policy_act, act, policy_obj, obj
        ):
            return True
    return False


def database_of(obj: str) -> str:
    name = obj.split("-", 1)[1]
    return name.split(".", 1)[0] if "." in name else "default"


def collection_of(obj: str) -> str:
    return obj.split("-", 1)[1].split(".", 1)[-1]


def group_contains(policy_act: str, act: str, policy_obj: str, obj: str) -> bool:
    if policy_act == "PrivilegeAll":
        return True
    group = policy_act.removeprefix("PrivilegeGroup")
    if policy_act != f"PrivilegeGroup{group}" or group not in V1_GROUPS:
        return False
    if group in ("ReadOnly", "ReadWrite"):
        collections = (collection_of(policy_obj), collection_of(obj))
        if "*" not in collections and collections[0] != collections[1]:
            return False
    return act.removeprefix("Privilege") in V1_GROUPS[group]


@lru_cache(maxsize=1000)
def policies_of(world: World, role: str) -> tuple[tuple[str, str], ...]:
    """Returns the policies of a role as root coord hands them to Milvus's proxy."""
    policies = []
    for grant in world.grants.get(role, ()):
        if grant.object_type not in ("Collection", "Global", "User"):
            continue  # Milvus writes no other type.
        group = grant.privilege.removeprefix("PrivilegeGroup")
        is_group = grant.privilege == f"PrivilegeGroup{group}" and group not in V1_GROUPS
        if not is_group or (group not in world.groups and group not in CATALOGUE.groups):
            object_type = grant.object_type
            # Root coord gives a grant the type of its privilege, whatever is stored. To Milvus "*"
            # is of type Global; here it keeps its type, as it did before Milvus 2.5.
            if not set(grant.privilege) & set("*?[\\"):
                object_type = object_type_of(group.removeprefix("Privilege"))
            name = "*" if object_type == "Global" else grant.object
            policies.append((object_type, grant.database, name, grant.privilege))
            continue
        for member in members_of(world, group, ()):
            object_type = object_type_of(member)
            name = "*" if object_type == "Global" else grant.object
            prefix = "PrivilegeGroup" if member in V1_GROUPS else "Privilege"
            policies.append((object_type, grant.database, name, prefix + member))
    return tuple(
        (f"{object_type}-{database}.{name}", privilege)
        for object_type, database, name, privilege in policies
    )


def members_of(world: World, name: str, within: tuple[str, ...]) -> list[str]:
    """Returns the privileges of a group, those of groups in it included."""
    if CATALOGUE.is_privilege(name):
        return [name]
    if name in within:
        return []
    members = CATALOGUE.groups.get(name) or world.groups.get(name, ())
    return [
        privilege for member in members for privilege in members_of(world, member, (*within, name))
    ]


# Go's path.Match, by its documentation. A pattern is a sequence of terms:
#
#   *        any characters but /
#   ?        any one character but /
#   [a-cx]   a class of characters and ranges, not empty; [^a-cx] is everything else
#   \c       the character c; in a class, too
#   c        the character c, which is none of * ? \ [ and in a class none of \ - ]


@lru_cache(maxsize=200_000)
def matches(pattern: str, text: str) -> bool:
    """Returns whether the whole text matches; False for a malformed pattern."""
    terms = terms_of(pattern)
    if terms is None:
        return False
    # The places in the text up to which the terms so far can match.
    places = {0}
    for kind, value in terms:
        if kind == "star":
            places = {
                end
                for start in places
                for end in range(start, len(text) + 1)
                if "/" not in text[start:end]
            }
        elif kind == "text":
            places = {at + len(value) for at in places if text.startswith(value, at)}
        else:
            places = {at + 1 for at in places if at < len(text) and value(text[at])}
        if not places:
            return False
    return len(text) in places


class MalformedError(Exception):
    pass


@lru_cache(maxsize=10_000)
def terms_of(pattern: str):
    try:
        return _terms(list(pattern))
    except MalformedError:
        return None


def _terms(rest: list[str]):
    terms = []
    while rest:
        character = rest.pop(0)
        if character == "*":
            terms.append(("star", None))
        elif character == "?":
            terms.append(("one", lambda text: text != "/"))
        elif character == "[":
            terms.append(("one", _class(rest)))
        else:
            if character == "\\":
                character = _next(rest)
            if terms and terms[-1][0] == "text":
                terms[-1] = ("text", terms[-1][1] + character)
            else:
                terms.append(("text", character))
    return terms


def _class(rest: list[str]):
    negated = rest[:1] == ["^"]
    if negated:
        rest.pop(0)
    ranges = []
    while True:
        if rest[:1] == ["]"] and ranges:
            rest.pop(0)
            break
        low = high = _bound(rest)
        if rest[:1] == ["-"]:
            rest.pop(0)
            high = _bound(rest)
        ranges.append((low, high))
    return lambda text: any(low <= text <= high for low, high in ranges) != negated


def _bound(rest: list[str]) -> str:
    character = _next(rest)
    if character in ("-", "]"):
        raise MalformedError
    return _next(rest) if character == "\\" else character


def _next(rest: list[str]) -> str:
    if not rest:
        raise MalformedError
    return rest.pop(0)
