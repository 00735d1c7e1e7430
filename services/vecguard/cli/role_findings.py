"""Examines the roles, grants and privilege groups in etcd."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Final

from vecguard.cli.collection_findings import examine_collections, is_literal
from vecguard.cli.finding import MOST_SHOWN, Finding, Severity, listed
from vecguard.config import Settings
from vecguard.errors import VecguardError
from vecguard.etcd import EtcdClient, KeyValue
from vecguard.etcd.reads import Reads, until_whole
from vecguard.milvus_layout import CorruptRecordError, Keys
from vecguard.milvus_layout.collection_changes import CollectionChange
from vecguard.milvus_layout.stored_roles import (
    CorruptKey,
    Grant,
    corrupt_role_records,
    grantees_of,
    grants_of,
    groups_of,
    privileges_of,
    roles_by_user,
    roles_of,
)
from vecguard.privileges.catalogue import ADMIN, PUBLIC, Catalogue, Level, flattened
from vecguard.privileges.stored_names import api_name, stored_group, stored_privilege
from vecguard.usernames import ROOT
from vecguard.wording import counted

# Longer than a change takes that goes well, or that a proxy settles.
_LONG_CHANGE_SECONDS: Final = 150.0
_CATALOGUE: Final = Catalogue()


@dataclass(frozen=True, slots=True)
class StoredState:
    """What is stored about roles at one revision.

    Attributes:
        users: the names of all users.
        roles: the names of all roles.
        roles_of_users: by user, without `public`.
        grants: by role.
        groups: the custom groups with their members.
        changes: by key, the drops and renames of collections that have begun and not ended; None
            for a record that cannot be read.
    """

    users: frozenset[str]
    roles: frozenset[str]
    roles_of_users: Mapping[str, Sequence[str]]
    grants: Mapping[str, Sequence[Grant]]
    groups: Mapping[str, Sequence[str]]
    changes: Mapping[str, CollectionChange | None] = field(default_factory=dict)


async def examine_roles(client: EtcdClient, keys: Keys, settings: Settings) -> list[Finding]:
    """Examines what roles, grants and groups are stored, and what of it cannot be read.

    Asks the backend which collections there are, if the settings name it.
    """
    name = f'roles below "{keys.root}"'
    try:
        state = await until_whole(lambda: _read(Reads(client), keys))
        corrupt = await corrupt_role_records(client, keys)
    except VecguardError as error:
        return [Finding(Severity.WARNING, name, error.message, "see the other findings about etcd")]
    findings = [
        *judge_corrupt(name, corrupt),
        *judge_changes(state.changes, time()),
        *judge_roles(name, state),
        *await examine_collections(name, settings, state.grants),
    ]
    if all(finding.severity is Severity.NOTE for finding in findings):
        grants = sum(map(len, state.grants.values()))
        findings.append(
            Finding(
                Severity.GOOD,
                name,
                f"{counted(len(state.roles), 'role', 'roles')} with "
                f"{counted(grants, 'grant', 'grants')} can be read",
            )
        )
    return findings


def judge_corrupt(name: str, corrupt: Sequence[CorruptKey]) -> Iterator[Finding]:
    """Yields findings about records that no decision counts."""
    for each in corrupt[:MOST_SHOWN]:
        yield Finding(
            Severity.WARNING,
            f"etcd {each.key}",
            f"the record cannot be read, and allows nothing: {each.reason}",
            "make the role, grant or group again, and delete the key (etcdctl del)",
        )
    if len(corrupt) > MOST_SHOWN:
        yield Finding(
            Severity.WARNING,
            name,
            f"{len(corrupt) - MOST_SHOWN} more records cannot be read",
            "repair the records above, and run doctor again",
        )


def judge_changes(changes: Mapping[str, CollectionChange | None], now: float) -> Iterator[Finding]:
    """Yields findings about drops and renames that have not ended, `now` in seconds since 1970."""
    for key, change in changes.items():
        if change is None:
            yield Finding(
                Severity.WARNING,
                f"etcd {key}",
                "the record of a drop or a rename cannot be read; grants on the collection in its "
                "key allow nothing",
                "revoke these grants, then delete the key (etcdctl del)",
            )
        elif now - change.since > _LONG_CHANGE_SECONDS and key.endswith("/".join(change.source)):
            what = f"renamed to {change.new_name}" if change.is_rename else "dropped"
            yield Finding(
                Severity.WARNING,
                f"collection {change.database}.{change.name}",
                f"since {datetime.fromtimestamp(change.since, UTC):%Y-%m-%d %H:%M:%S} UTC it is "
                f"unknown whether it was {what}; grants on it allow nothing meanwhile",
                "the proxies ask the backend by DescribeCollection, and their log says why they "
                "cannot tell (collection_change_unsettled); or drop the collection again",
            )


def judge_roles(name: str, state: StoredState) -> Iterator[Finding]:
    """Yields findings about roles, users and grants that do not fit together."""
    given = {role for roles in state.roles_of_users.values() for role in roles}
    yield from _judge_absent(name, state, given)
    yield from _judge_databases(name, state)
    unused = state.roles - given - {ADMIN, PUBLIC}
    if unused:
        yield Finding(
            Severity.NOTE,
            name,
            f"roles that no user has: {listed(unused)}",
            "vecguard user roles USER --add ROLE, or vecguard role drop ROLE",
        )
    without = state.users - state.roles_of_users.keys() - {ROOT}
    if without:
        yield Finding(
            Severity.NOTE,
            name,
            f"users who have no role but public: {listed(without)}",
            "vecguard user roles USER --add ROLE, if they should do more",
        )


def _judge_absent(name: str, state: StoredState, given: set[str]) -> Iterator[Finding]:
    """Yields findings about what names something that does not exist."""
    absent = (given | state.grants.keys()) - state.roles - {ADMIN, PUBLIC}
    if absent:
        yield Finding(
            Severity.NOTE,
            name,
            f"roles that do not exist have users or grants: {listed(absent)}; root coord takes "
            "them away when it creates such a role, a Milvus would not",
            "vecguard role create ROLE, then vecguard role drop ROLE",
        )
    users = state.roles_of_users.keys() - state.users
    if users:
        yield Finding(
            Severity.NOTE,
            name,
            f"users who do not exist have roles: {listed(users)}; root coord takes them away when "
            "it creates such a user, a Milvus would not",
            "vecguard user roles USER --remove ROLE",
        )
    unknown = {
        f"{api_name(grant.privilege)} on {grant.database}.{grant.object} of {role}"
        for role, grants in state.grants.items()
        for grant in grants
        if not _exists(grant.privilege, state.groups)
    }
    if unknown:
        yield Finding(
            Severity.WARNING,
            name,
            f"grants of privileges or groups that do not exist: {listed(unknown)}; they allow "
            "nothing, until a group of such a name is created",
            "vecguard group create GROUP, then vecguard role revoke ROLE GROUP ..., then vecguard "
            "group drop GROUP",
        )


def _judge_databases(name: str, state: StoredState) -> Iterator[Finding]:
    """Yields the finding about privileges of the cluster that are granted on one database."""
    idle = {
        f"{api_name(grant.privilege)} on {grant.database}.{grant.object} of {role}"
        for role, grants in state.grants.items()
        for grant in grants
        if is_literal(grant.database) and _is_of_cluster(grant.privilege, state.groups)
    }
    if idle:
        yield Finding(
            Severity.WARNING,
            name,
            f"privileges of the cluster are granted on one database: {listed(idle)}; they allow "
            "nothing, because calls that need them are judged by the grants on database *",
            "vecguard role grant ROLE PRIVILEGE, then vecguard role revoke ROLE PRIVILEGE "
            "--database DATABASE",
        )


def _is_of_cluster(stored: str, groups: Mapping[str, Sequence[str]]) -> bool:
    """Returns whether a privilege, or all privileges of a group, are those of the cluster."""
    name = api_name(stored)
    if not _exists(stored, groups) or not is_literal(stored):
        return False
    members = flattened([name], groups, _CATALOGUE)
    return bool(members) and all(_CATALOGUE.level_of(member) is Level.CLUSTER for member in members)


def _exists(stored: str, groups: Container[str]) -> bool:
    """Returns whether a privilege or group, as stored, exists, or is a pattern."""
    if not is_literal(stored):
        return True
    name = api_name(stored)
    if _CATALOGUE.is_privilege(name) and stored == stored_privilege(name):
        return True
    is_group = name in groups or _CATALOGUE.is_built_in_group(name)
    return is_group and stored == stored_group(name)


async def _read(reads: Reads, keys: Keys) -> StoredState:
    """Raises CompactedError: see `until_whole`."""
    users = await reads.all_below(keys.users, keys_only=True)
    at = users.revision
    roles = await reads.all_below(keys.roles, revision=at)
    mappings = await reads.all_below(keys.mappings, revision=at, keys_only=True)
    groups = await reads.all_below(keys.groups, revision=at)
    grantees = await reads.all_below(keys.grantees, revision=at)
    ids = await reads.all_below(keys.grantee_ids, revision=at)
    changes = await reads.all_below(keys.collection_changes, revision=at)
    # Records that cannot be read are reported by `corrupt_role_records`.
    return StoredState(
        users=frozenset(
            kv.key.decode(errors="replace").removeprefix(keys.users) for kv in users.value
        ),
        roles=frozenset(role.name for role in roles_of(keys, roles.value, _ignore)),
        roles_of_users=roles_by_user(keys, mappings.value, _ignore),
        grants=await grants_of(
            await grantees_of(keys, grantees.value, _ignore),
            await privileges_of(keys, ids.value, _ignore),
        ),
        groups=groups_of(keys, groups.value, _ignore),
        changes={kv.key.decode(errors="replace"): _change(kv) for kv in changes.value},
    )


def _change(kv: KeyValue) -> CollectionChange | None:
    try:
        return CollectionChange.decode(kv.value)
    except CorruptRecordError:
        return None


def _ignore(found: CorruptKey) -> None:
    del found
