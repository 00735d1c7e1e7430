"""Examines a configuration, and the parts that it names, from this machine."""

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from vecguard.addresses import Address
from vecguard.cli.certificate_findings import judge_key, judge_validity
from vecguard.cli.connection_failure import reason_of
from vecguard.cli.finding import Finding, Severity
from vecguard.cli.service_settings import names_backend, names_etcd
from vecguard.config import Settings
from vecguard.config.exposure import (
    Exposure,
    proxy_exposure,
    root_coord_exposure,
    trust_in_every_address,
)
from vecguard.errors import ConfigurationError
from vecguard.tls import connections

if TYPE_CHECKING:
    from vecguard.tls.reloading import ReloadingContext

#: The part of findings about the public port's own files.
PUBLIC_FILES: Final = "tls.*"
_TIMEOUT_SECONDS: Final = 5.0


def judge_settings(settings: Settings) -> Iterator[Finding]:
    """Yields findings about the configuration itself."""
    if not settings.common.security.authorization_enabled:
        yield Finding(
            Severity.WRONG,
            "configuration",
            "authorization is off: a proxy with this file accepts calls without a login",
            "set common.security.authorizationEnabled to true",
        )
        if settings.common.security.allow_anonymous_changes:
            yield Finding(
                Severity.WRONG,
                "configuration",
                "anonymous changes are allowed: through a proxy with this file anyone can create, "
                "change and delete users, for all proxies",
                "set common.security.allowAnonymousChanges to false",
            )
    elif not settings.common.security.rbac.enforced:
        yield Finding(
            Severity.WARNING,
            "configuration",
            "roles are not enforced: every login may read and change all data",
            "give the users roles (vecguard role explain says which grants they lack), then set "
            "common.security.rbac.enforced to true",
        )
    if settings.revocation == "bounded":
        yield Finding(
            Severity.NOTE,
            "configuration",
            "revocation is bounded: while root coord is unreachable, a revoked password passes "
            f"for up to {settings.cache.ttl:g} s",
            "set revocation to strict, unless availability comes first",
        )
    elif not settings.lease.end_open_calls:
        yield Finding(
            Severity.NOTE,
            "configuration",
            "open calls continue at a proxy that is cut off, also those of revoked users",
            "set lease.endOpenCalls to true, unless long streams come first",
        )
    for exposure in (*trust_in_every_address(settings), *_exposures(settings)):
        yield Finding(Severity.WARNING, "configuration", exposure.cause, exposure.remedy)


def _exposures(settings: Settings) -> Iterator[Exposure]:
    """Yields the open ports of the services that this configuration is for."""
    for_proxy = _names_root_coords(settings) or names_backend(settings)
    if for_proxy and (found := proxy_exposure(settings)) is not None:
        yield found
    if names_etcd(settings) and (found := root_coord_exposure(settings)) is not None:
        yield found


def _names_root_coords(settings: Settings) -> bool:
    return "addresses" in settings.root_coord.model_fields_set


def judge_files(settings: Settings, now: float) -> Iterator[Finding]:
    """Yields findings about the configured TLS files at `now` (seconds since the epoch)."""
    internal = settings.internaltls
    named: tuple[tuple[str, bool, Callable[[Settings], ReloadingContext | None]], ...] = (
        (PUBLIC_FILES, bool(settings.tls.server_pem_path), connections.public_listener),
        ("internaltls.server*", bool(internal.server_pem_path), connections.root_coord_listener),
        ("internaltls.client*", bool(internal.client_pem_path), connections.root_coord_client),
        ("backend.tls.*", True, connections.backend_client),
        ("etcd.ssl.*", True, connections.etcd_client),
    )
    for setting, is_set, open_context in named:
        if not is_set:
            continue
        try:
            context = open_context(settings)
        except ConfigurationError as error:
            yield Finding(
                Severity.WRONG,
                setting,
                error.message,
                "vecguard certs check --cert FILE --key FILE --ca FILE says more",
            )
            continue
        if context is not None:
            yield from judge_validity(setting, context.material.validity, now)
            yield from judge_key(setting, context.unusable_key)


async def examine_reach(settings: Settings) -> list[Finding]:
    """Examines whether root coords and the backend accept connections from here.

    Examines only configured addresses: root coord's own configuration need not name any.
    """
    places: list[tuple[str, str]] = []
    if _names_root_coords(settings):
        places += [("root coord", each) for each in settings.root_coord.addresses]
    if names_backend(settings):
        places.append(("backend", settings.backend.address))
    complaints = await asyncio.gather(*(_complaint(address) for _, address in places))
    alive = any(
        part == "root coord" and complaint is None
        for (part, _), complaint in zip(places, complaints, strict=True)
    )
    return [
        _reach_finding(part, address, complaint, others_alive=part == "root coord" and alive)
        for (part, address), complaint in zip(places, complaints, strict=True)
    ]


def _reach_finding(
    part: str, address: str, complaint: str | None, *, others_alive: bool
) -> Finding:
    name = f"{part} {address}"
    if complaint is None:
        return Finding(Severity.GOOD, name, "takes connections")
    setting = "rootCoord.addresses" if part == "root coord" else "backend.address"
    return Finding(
        Severity.WARNING if others_alive else Severity.WRONG,
        name,
        f"takes no connection from here: {complaint}",
        f"check that it runs, and that {setting} is right; run doctor where the proxy runs",
    )


async def _complaint(address: str) -> str | None:
    place = Address.parse(address)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(place.host, place.port)
    except TimeoutError:
        return "no answer in time"
    except (OSError, UnicodeError) as error:
        return reason_of(error)
    writer.transport.abort()
    return None
