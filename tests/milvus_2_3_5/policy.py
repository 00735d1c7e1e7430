"""Users, roles and grants: generated, written and listed through pymilvus."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from pymilvus import MilvusClient

from vecguard.privileges.catalogue import PUBLIC, V1_GROUPS, Catalogue

ROOT_PASSWORD = "Milvus"
DATABASES = ("default", "other", "*")
COLLECTIONS = ("docs", "notes", "books")

# What Milvus 2.3.5 lets grant: by type of object.
_PRIVILEGES = {
    "Collection": (
        *("Load", "Release", "Compaction", "Insert", "Upsert", "Delete", "GetStatistics"),
        *("CreateIndex", "IndexDetail", "DropIndex", "Search", "Flush", "Query", "LoadBalance"),
        *("Import", "GetLoadingProgress", "GetLoadState", "CreatePartition", "DropPartition"),
        *("ShowPartitions", "HasPartition", "GetFlushState", "*"),
    ),
    "Global": (
        *("All", "CreateCollection", "DropCollection", "DescribeCollection", "ShowCollections"),
        *("RenameCollection", "FlushAll", "CreateOwnership", "DropOwnership", "SelectOwnership"),
        *("ManageOwnership", "CreateResourceGroup", "DropResourceGroup", "DescribeResourceGroup"),
        *("ListResourceGroups", "TransferNode", "TransferReplica", "CreateDatabase"),
        *("DropDatabase", "ListDatabases", "CreateAlias", "DropAlias", "DescribeAlias"),
        *("ListAliases", "*"),
    ),
    "User": ("UpdateUser", "SelectUser", "*"),
}
# What allows most: such grants are made more often.
_BROAD = ("All", "*")
_BROAD_SHARE = 0.1
#: A role with grants that only later versions know, and its user.
LATER_ROLE, LATER_USER = "later_role", "later_user"
#: Of all versions: what a group of a grant stands for.
MEMBERS = {
    **V1_GROUPS,
    **Catalogue().groups,
    "later_group": ("Insert", "AddCollectionField"),
}
#: Privileges and groups of the role that Milvus 2.3.5 shows without a name.
LATER_PRIVILEGES = ("ReadOnly", "DatabaseAdmin", "later_group", "AlterDatabase")


class Grant(NamedTuple):
    """One grant of a role, by the names of the API."""

    role: str
    object_type: str
    name: str
    database: str
    privilege: str


@dataclass(frozen=True)
class Policy:
    """Who has which roles, and what they allow.

    Attributes:
        users: the roles of each user but root.
        grants: those of every role. The grantor is root.
    """

    users: dict[str, tuple[str, ...]]
    roles: tuple[str, ...]
    grants: frozenset[Grant]

    def of_user(self, username: str) -> list[Grant]:
        """The grants of a user."""
        roles = (*self.users[username], PUBLIC)
        return sorted(grant for grant in self.grants if grant.role in roles)


def password_of(username: str) -> str:
    return f"secret of {username}"


def generated(dice: random.Random, prefix: str, *, users: int, roles: int) -> Policy:
    """Users with 1 to 3 roles, and roles with some grants: of each privilege two."""
    role_names = tuple(f"{prefix}_role_{number}" for number in range(roles))
    user_names = tuple(f"{prefix}_user_{number}" for number in range(users))
    each = [(kind, privilege) for kind, known in _PRIVILEGES.items() for privilege in known]
    granted = [(dice.choice(role_names), *one) for one in (*each, *each)]
    granted += [
        (role, *_kind_and_privilege(dice)) for role in role_names for _ in range(dice.randint(1, 3))
    ]
    return Policy(
        {name: tuple(sorted(dice.sample(role_names, dice.randint(1, 3)))) for name in user_names},
        role_names,
        frozenset(_grant(dice, user_names, *one) for one in granted),
    )


def _kind_and_privilege(dice: random.Random) -> tuple[str, str]:
    kind = dice.choices(tuple(_PRIVILEGES), (5, 4, 1))[0]
    known = _PRIVILEGES[kind]
    broad = [privilege for privilege in known if privilege in _BROAD]
    return kind, dice.choice(broad if dice.random() < _BROAD_SHARE else known)


def _grant(
    dice: random.Random, users: tuple[str, ...], role: str, kind: str, privilege: str
) -> Grant:
    names = {"Collection": COLLECTIONS, "Global": ("docs",), "User": users}[kind]
    name = dice.choice(names) if dice.random() < 0.6 else "*"
    return Grant(role, kind, name, dice.choice(DATABASES), privilege)


@contextmanager
def root_client(address: str) -> Iterator[MilvusClient]:
    client = MilvusClient(f"http://{address}", user="root", password=ROOT_PASSWORD)
    try:
        yield client
    finally:
        client.close()


def write(client: MilvusClient, policy: Policy) -> None:
    for role in policy.roles:
        client.create_role(role)
    for grant in sorted(policy.grants):
        client.grant_privilege(
            grant.role, grant.object_type, grant.privilege, grant.name, grant.database
        )
    for username, roles in policy.users.items():
        client.create_user(username, password_of(username))
        for role in roles:
            client.grant_role(username, role)


def write_later(client: MilvusClient) -> None:
    """Grants what Milvus 2.3.5 has not: v1 groups, v2 groups, custom groups and new privileges."""
    client.create_role(LATER_ROLE)
    client.create_privilege_group("later_group")
    client.add_privileges_to_group("later_group", list(MEMBERS["later_group"]))
    client.grant_privilege(LATER_ROLE, "Collection", "ReadOnly", "docs", "default")
    client.grant_privilege_v2(LATER_ROLE, "DatabaseAdmin", "*", "default")
    client.grant_privilege_v2(LATER_ROLE, "later_group", "docs", "default")
    client.grant_privilege_v2(LATER_ROLE, "AlterDatabase", "*", "other")
    # Milvus 2.3.5 knows this privilege, but none of the privileges above.
    client.grant_privilege_v2(LATER_ROLE, "Search", "notes", "other")
    client.create_user(LATER_USER, password_of(LATER_USER))
    client.grant_role(LATER_USER, LATER_ROLE)


def change(client: MilvusClient, policy: Policy, dice: random.Random) -> None:
    """Takes away a part of everything that another program wrote."""
    for grant in dice.sample(sorted(policy.grants), len(policy.grants) // 4):
        client.revoke_privilege(
            grant.role, grant.object_type, grant.privilege, grant.name, grant.database
        )
    users = sorted(policy.users)
    for username in dice.sample(users, len(users) // 4):
        client.revoke_role(username, policy.users[username][0])
    for username in dice.sample(users, len(users) // 10):
        client.drop_user(username)
    client.drop_role(dice.choice(policy.roles), force_drop=True)


def listed(client: MilvusClient) -> Policy:
    """What the server shows of its policy.

    Milvus 2.3.5 reads the roles of `user_1` by a prefix that the keys of `user_12` have, too. It
    shows each of those as a role without a name.
    """
    users = {
        username: tuple(sorted(filter(None, client.describe_user(username)["roles"])))
        for username in client.list_users()
        if username != "root"
    }
    roles = tuple(client.list_roles())
    return Policy(
        users,
        roles,
        frozenset(
            Grant(
                role,
                entity["object_type"],
                entity["object_name"],
                entity["db_name"],
                entity["privilege"],
            )
            for role in roles
            for database in DATABASES
            for entity in client.describe_role(role, db_name=database)["privileges"]
        ),
    )
