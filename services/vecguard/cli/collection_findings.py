"""Examines whether the collections that grants name exist at the backend."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from grpclib.const import Cardinality

from vecguard.addresses import Address
from vecguard.cli.finding import Finding, Severity, listed
from vecguard.cli.service_settings import names_backend
from vecguard.config import Settings
from vecguard.errors import DeadlineError, VecguardError
from vecguard.grpc import described_collection
from vecguard.grpc.channel import Channel, translated_errors
from vecguard.grpc.described_collection import RefusedNameError
from vecguard.grpc.raw_message import RawMessage
from vecguard.milvus_layout.stored_roles import Grant
from vecguard.privileges.catalogue import COLLECTION, GLOBAL
from vecguard.privileges.stored_names import api_name, stored_group
from vecguard.tls import connections
from vecguard.tls.reloading import context_of

_TIMEOUT_SECONDS: Final = 10.0
# Collections that the backend is asked for.
_MOST: Final = 1000

#: By the database and the name of a collection, the grants on it in words.
Named = Mapping[tuple[str, str], Sequence[str]]


async def examine_collections(
    name: str, settings: Settings, grants: Mapping[str, Sequence[Grant]]
) -> list[Finding]:
    """Examines the collections that the grants of roles name exactly, not by a pattern.

    An alias counts as a collection, because a grant on it allows calls that name it.
    """
    named = named_collections(grants)
    if not named:
        return []
    if not names_backend(settings):
        why = "this configuration names no backend"
        remedy = (
            "set backend.address (VECGUARD__BACKEND__ADDRESS) for doctor, which then judges the "
            "settings of a proxy, too"
        )
        return [_unchecked(name, why, remedy)]
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            absent = await _absent(settings, sorted(named)[:_MOST])
    except TimeoutError:
        error: VecguardError = DeadlineError("the backend took too long")
        return [_unchecked(name, error.message, "run doctor again")]
    except VecguardError as error:
        remedy = "check that backend.address is that of a Milvus which asks for no login"
        return [_unchecked(name, error.message, remedy)]
    findings = list(judge_absent(name, {key: named[key] for key in absent}))
    if len(named) > _MOST:
        why = f"there are {len(named)} of them; the first {_MOST} were"
        findings.append(_unchecked(name, why, ""))
    return findings


def named_collections(grants: Mapping[str, Sequence[Grant]]) -> dict[tuple[str, str], list[str]]:
    """Returns the grants by the collection that they name. Patterns name none."""
    found: dict[tuple[str, str], list[str]] = {}
    for role, each in grants.items():
        for grant in each:
            # Groups are stored as Global, with the collection that they are granted on.
            is_on_collection = grant.object_type == COLLECTION or (
                grant.object_type == GLOBAL
                and grant.privilege == stored_group(api_name(grant.privilege))
            )
            if is_on_collection and is_literal(grant.database) and is_literal(grant.object):
                where = f"{grant.database}.{grant.object}"
                words = f"{api_name(grant.privilege)} on {where} of {role}"
                found.setdefault((grant.database, grant.object), []).append(words)
    return found


def is_literal(name: str) -> bool:
    """Returns whether a part of a grant is a name, and no pattern."""
    return {*"*?[\\"}.isdisjoint(name)


def judge_absent(name: str, absent: Named) -> list[Finding]:
    """Returns the finding about grants on collections that do not exist, if there are any."""
    if not absent:
        return []
    words = listed(each for grants in absent.values() for each in grants)
    return [
        Finding(
            Severity.NOTE,
            name,
            f"grants on collections that do not exist: {words}; they hold for a collection that "
            "gets such a name",
            "vecguard role revoke ROLE PRIVILEGE DATABASE.COLLECTION, unless you mean that",
        )
    ]


def _unchecked(name: str, why: str, remedy: str) -> Finding:
    return Finding(
        Severity.NOTE,
        name,
        f"whether the collections exist that grants name was not checked: {why}",
        remedy,
    )


async def _absent(settings: Settings, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the collections that the backend does not have.

    Raises VecguardError if the backend does not answer.
    """
    backend = settings.backend
    channel = Channel(
        Address.parse(backend.address),
        tls=context_of(connections.backend_client(settings)),
        connect_timeout_seconds=backend.connect_timeout,
        sends_pings=False,
    )
    try:
        return [each for each in names if not await _exists(channel, backend.address, *each)]
    finally:
        channel.close()


async def _exists(channel: Channel, address: str, database: str, name: str) -> bool:
    request = described_collection.request_for(database, name)
    with translated_errors(f"backend {address}"):
        async with channel.request(
            described_collection.PATH, Cardinality.UNARY_UNARY, RawMessage, RawMessage
        ) as stream:
            await stream.send_message(RawMessage(request), end=True)
            reply = await stream.recv_message()
    try:
        return described_collection.read_reply(reply or b"", name) is not None
    except RefusedNameError:
        return False
