"""Examines etcd: its members, their releases, root's record and the roles."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from vecguard.cli.etcd_release import judge_release
from vecguard.cli.finding import Finding, Severity
from vecguard.cli.public_port import DEFAULT_ROOT_LOGIN, default_password_finding
from vecguard.cli.role_findings import examine_roles
from vecguard.cli.service_settings import etcd_of
from vecguard.config import Settings
from vecguard.errors import VecguardError
from vecguard.etcd import EtcdClient, EtcdPermissionError, MemberStatus
from vecguard.installations import Survey, named, survey
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.passwords import PasswordHash, verify_password
from vecguard.root_record import RootState, root_state
from vecguard.usernames import ROOT

_TIMEOUT_SECONDS: Final = 5.0
_HIDDEN: Final = (
    "it answers, but shows its status only to users with the role root: its release, its leader "
    "and its alarms were not checked"
)


async def examine_etcd(settings: Settings) -> list[Finding]:
    """Examines every member of `etcd.endpoints`, root's record, and the roles."""
    try:
        client = etcd_of(settings)
    except VecguardError as error:
        return [Finding(Severity.WRONG, "etcd", error.message, "correct the settings etcd.*")]
    async with client:
        answers = await asyncio.gather(*(_ask(client, each) for each in settings.etcd.endpoints))
        members = [answer for answer in answers if isinstance(answer, MemberStatus)]
        findings = [answer for answer in answers if isinstance(answer, Finding)]
        hidden = sum(finding.cause == _HIDDEN for finding in findings)
        findings += judge_members(members, hidden=hidden, asked=len(answers))
        if members or hidden:
            keys = Keys.of(settings.etcd.root_path, settings.etcd.meta_sub_path)
            findings += await _examine_root(client, keys)
            findings += await _examine_prefixes(
                client, keys, allow_similar=settings.root_coord.allow_similar_prefix
            )
            findings += await examine_roles(client, keys, settings)
    findings += judge_access(settings)
    return findings


def judge_members(
    members: Sequence[MemberStatus], *, hidden: int = 0, asked: int
) -> Iterator[Finding]:
    """Yields findings about the members that answered.

    Args:
        members: the status of each member that shows it.
        hidden: how many endpoints answered and do not show their status; each counts as a member.
        asked: how many members were asked.
    """
    count = len({member.member_id for member in members}) + hidden
    if asked and count * 2 <= asked:
        yield Finding(
            Severity.WRONG,
            "etcd",
            f"{count} of {asked} members answer, which is no majority: no password can be read "
            "or changed",
            "bring the other members back",
        )
    elif asked == 1:
        yield Finding(
            Severity.NOTE,
            "etcd",
            "there is one member; when it fails, no password can be changed",
            "run 3 or 5 members in production, and list them all in etcd.endpoints",
        )
    for member in members:
        yield from _judge_member(member, members=asked)


def _judge_member(member: MemberStatus, *, members: int) -> Iterator[Finding]:
    name = f"etcd {member.endpoint}"
    release = list(judge_release(name, member.version, members=members))
    if not member.leader:
        yield Finding(
            Severity.WRONG,
            name,
            "it knows of no leader",
            "check that a majority of the members runs and that they reach each other",
        )
    for alarm in member.errors:
        yield Finding(
            Severity.WRONG,
            name,
            f"it has raised an alarm: {alarm}",
            "etcdctl alarm list; NOSPACE: compact, defragment, then etcdctl alarm disarm",
        )
    if member.is_learner:
        yield Finding(
            Severity.WARNING,
            name,
            "it is a learner, which root coord cannot read from",
            "promote it, or take it out of etcd.endpoints",
        )
    if not release:
        yield Finding(Severity.GOOD, name, f"etcd {member.version} answers")
    yield from release


def judge_access(settings: Settings) -> Iterator[Finding]:
    """Yields findings when etcd cannot authenticate its clients, who could set passwords there."""
    etcd = settings.etcd
    local = all(
        each.rpartition(":")[0] in ("localhost", "127.0.0.1", "[::1]") for each in etcd.endpoints
    )
    if etcd.auth.enabled or (etcd.ssl.enabled and etcd.ssl.tls_cert):
        return
    strangers = "every process on this machine" if local else "anyone who reaches etcd"
    yield Finding(
        Severity.NOTE if local else Severity.WARNING,
        "etcd",
        f"root coord shows etcd neither a password nor a certificate: {strangers} can set any "
        "password",
        "let etcd ask for client certificates (etcd.ssl.*) or logins (etcd.auth.*)",
    )


async def _ask(client: EtcdClient, endpoint: str) -> MemberStatus | Finding:
    try:
        return await client.status(endpoint, timeout_seconds=_TIMEOUT_SECONDS)
    except EtcdPermissionError:
        return Finding(
            Severity.WARNING,
            f"etcd {endpoint}",
            _HIDDEN,
            "as etcd's root: etcdctl endpoint status, etcdctl alarm list",
        )
    except VecguardError as error:
        return Finding(
            Severity.WARNING,
            f"etcd {endpoint}",
            error.message,
            "check that it runs, and that etcd.endpoints, etcd.ssl.* and etcd.auth.* are right",
        )


async def _examine_root(client: EtcdClient, keys: Keys) -> list[Finding]:
    key = keys.user(ROOT)
    name = f"etcd {key}"
    try:
        found = await client.range(key.encode(), timeout_seconds=_TIMEOUT_SECONDS)
        if not found.kvs:
            state = await root_state(client, keys, timeout_seconds=_TIMEOUT_SECONDS)
            if state is RootState.LOST:
                return [
                    Finding(
                        Severity.WRONG,
                        name,
                        "the record is missing, and this store had one; root coord does not create "
                        "another",
                        "restore it, or: vecguard root reset --offline",
                    )
                ]
            return [
                Finding(
                    Severity.WARNING,
                    name,
                    "there is no root; a root coord that becomes active makes one, unless there "
                    "are credentials under a similar prefix",
                    "check that etcd.rootPath and etcd.metaSubPath are right; start root coord",
                )
            ]
        password = Record.decode(found.kvs[0].value).password
    except CorruptRecordError as error:
        return [
            Finding(
                Severity.WRONG,
                name,
                f"root cannot log in, its record cannot be used: {error}",
                "vecguard root reset --offline",
            )
        ]
    except VecguardError as error:
        return [Finding(Severity.WRONG, name, error.message, "see the other findings about etcd")]
    if await _is_default(password):
        return [default_password_finding(name)]
    return [Finding(Severity.GOOD, name, "root's password is not the default one")]


async def _examine_prefixes(
    client: EtcdClient, keys: Keys, *, allow_similar: bool
) -> list[Finding]:
    """Finds credentials under other values of `etcd.rootPath` or `etcd.metaSubPath`."""
    name = f'etcd prefix "{keys.root}"'
    try:
        found = await survey(client, keys)
        own = await client.range(keys.users.encode(), prefix=True, count_only=True)
    except VecguardError as error:
        return [Finding(Severity.WARNING, name, error.message, "see the other findings about etcd")]
    return list(judge_prefixes(name, found, withheld=not own.count and not allow_similar))


def judge_prefixes(name: str, found: Survey, *, withheld: bool) -> Iterator[Finding]:
    """Yields findings about credentials outside the configured prefix.

    Args:
        name: the configured prefix, as findings name it.
        found: the result of the search.
        withheld: whether a similar prefix keeps root coord from creating root.
    """
    if found.similar:
        yield Finding(
            Severity.WRONG if withheld else Severity.WARNING,
            name,
            "there are credentials under a prefix that differs from it only in slashes, dots, "
            f"letter case or spaces: {named(found.similar)}",
            "correct etcd.rootPath and etcd.metaSubPath, or set rootCoord.allowSimilarPrefix if "
            "this is another installation",
        )
    if found.others:
        yield Finding(
            Severity.NOTE, name, f"other installations use this etcd: {named(found.others)}"
        )
    if found.gap:
        yield Finding(Severity.NOTE, name, f"not all other prefixes were seen: {found.gap}")


async def _is_default(stored: PasswordHash) -> bool:
    return await asyncio.to_thread(verify_password, DEFAULT_ROOT_LOGIN.password, stored)
