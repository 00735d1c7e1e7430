"""Makes random users, roles, grants, groups and calls, from a seed."""

from collections.abc import Iterator
from random import Random

from tests.unit.services.proxy.authorization.reference import (
    CATALOGUE,
    NEEDS,
    WITHOUT_PRIVILEGE,
    Case,
    StoredGrant,
    World,
)
from vecguard.privileges.catalogue import PRIVILEGES, object_type_of
from vecguard.privileges.stored_names import stored_group, stored_privilege

ROLES = ("admin", "public", "r1", "r2", "r3", "r4")
USERS = ("root", "ann", "bob", "john.doe")
DATABASES = ("default", "a", "b", "tenant_1")
NAMES = ("c", "d", "docs", "docs_2")
ODD_NAMES = ("", "*", "a.b", "x/y", "[cd]", "docs.", "é")
DATABASE_PATTERNS = (
    *("[ab]", "ten*", "?", "[z-a]", "[", "\\a", "tenant_[0-9]", "[^a]*", "a*", "[]a]"),
)
OBJECT_PATTERNS = (
    *("doc*", "d?cs", "[cd]", "[^c]", "docs_[0-9]", "[", "d\\", "\\c", "**", "*_*", "[]", "[c-]"),
    *("*c*s*", "???", "john*", "[a-d]*", "*.doe", "c]", "x/*", "", "é", "[é]"),
)
PRIVILEGE_PATTERNS = (
    *("*", "Privilege*", "PrivilegeGet*", "Privilege[SQ]*", "*Collection", "Privilege??????"),
    *("[", "PrivilegeSearch\\", "PrivilegeNope", "Search", "PrivilegeGroup", "Privilege[^A-R]*"),
)
GROUPS = ("Readers", "Writers", "Mixed", "Loop", "Empty")
# Many grants and calls are for these collections of this database.
HOME = ("a", "docs", "c")
CASES_OF_A_WORLD = 50
MAX_ROLES = 3


def cases(seed: int, count: int) -> Iterator[Case]:
    """Yields cases, of which some share what is stored."""
    random = Random(seed)
    while count > 0:
        # Few methods, so that grants and calls meet.
        methods = random.sample(sorted(NEEDS), 5)
        if random.random() < 0.2:
            # The only method with several objects.
            methods = [*methods[:2], "Flush"]
        world = _world(random, methods)
        users = [(user, _roles(random)) for user in USERS]
        for _ in range(min(count, CASES_OF_A_WORLD)):
            yield _case(random, world, *random.choice(users), methods)
        count -= CASES_OF_A_WORLD


def _roles(random: Random) -> tuple[str, ...]:
    number = random.randint(0, MAX_ROLES)
    roles = random.sample(ROLES[2:], number)
    return (*roles, "admin") if random.random() < 0.05 else tuple(roles)


def _world(random: Random, methods: list[str]) -> World:
    needed = [NEEDS[method].privilege for method in methods]
    groups = {
        name: tuple(_member(random, needed) for _ in range(random.randint(0, 4)))
        for name in GROUPS[:-1]
    }
    groups["Loop"] = ("Mixed", *groups["Loop"], "Loop")
    groups["Empty"] = ()
    return World(
        {
            role: tuple(_grant(random, needed) for _ in range(random.choice((0, 1, 2, 4, 8))))
            for role in ROLES
        },
        groups,
    )


def _member(random: Random, needed: list[str]) -> str:
    return random.choice(
        (
            random.choice(needed).removeprefix("Privilege"),
            random.choice(needed).removeprefix("Privilege"),
            random.choice(sorted(PRIVILEGES)),
            random.choice(list(CATALOGUE.groups)),
            random.choice(GROUPS),
            random.choice(("All", "ReadOnly", "ReadWrite", "Admin", "Gone", "*")),
        )
    )


def _grant(random: Random, needed: list[str]) -> StoredGrant:
    privilege = random.choice(needed)
    kind = random.random()
    if kind < 0.1:
        privilege = stored_privilege(random.choice(("ReadOnly", "ReadWrite", "Admin", "All")))
    elif kind < 0.2:
        privilege = stored_group(random.choice(list(CATALOGUE.groups)))
    elif kind < 0.35:
        privilege = stored_group(random.choice((*GROUPS, "Gone")))
    elif kind < 0.45:
        privilege = random.choice(PRIVILEGE_PATTERNS)
    object_type = object_type_of(privilege.removeprefix("PrivilegeGroup").removeprefix("Privilege"))
    if random.random() < 0.1:
        object_type = random.choice(("Collection", "Global", "User", "collection", "*", ""))
    database = random.choice((*DATABASES[:2], "*", random.choice(DATABASE_PATTERNS)))
    common = USERS if object_type == "User" else NAMES
    name = random.choice((*common[:2], "*", random.choice(OBJECT_PATTERNS)))
    if random.random() < 0.3:
        database, name = HOME[0], random.choice(HOME[1:])
    if object_type == "Global" and random.random() < 0.7:
        name = "*"
    return StoredGrant(object_type, database, name, privilege)


def _case(
    random: Random, world: World, user: str, roles: tuple[str, ...], methods: list[str]
) -> Case:
    method = random.choice(methods)
    if random.random() < 0.04:
        method = random.choice((*sorted(WITHOUT_PRIVILEGE), "NoSuchMethod", "SelectGrant"))
    need = NEEDS.get(method)
    names: tuple[str, ...] = ()
    if need is not None:
        number = random.choice((0, 1, 1, 2, 3)) if need.has_names else int(need.has_name)
        common = USERS if need.object_type == "User" else NAMES
        names = tuple(
            random.choice(ODD_NAMES) if random.random() < 0.08 else random.choice(common)
            for _ in range(number)
        )
    database = random.choice(("", "", *DATABASES, random.choice(("a.b", "x/y", "*", "a"))))
    if need is not None and (need.has_name or need.has_names) and random.random() < 0.3:
        database, names = HOME[0], HOME[1:] if need.has_names else HOME[1:2]
    return Case(
        world=world,
        user=user,
        roles=roles,
        method=method,
        database=database,
        metadata_database=random.choice((None, None, "", *DATABASES)),
        names=names,
        other_database=random.choice(("", *DATABASES)),
        role=random.choice(("", *ROLES)),
        strict=random.random() < 0.5,
        root_should_bind_role=random.random() < 0.5,
    )
