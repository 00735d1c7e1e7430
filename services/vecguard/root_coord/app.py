"""Builds root coord from its parts and runs it; no other module knows every concrete class."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from random import random
from typing import Any

from vecguard.backoff import Backoff, BackoffPolicy
from vecguard.boot_clock import boot_clock
from vecguard.concurrency.cancellation import raise_if_cancelled
from vecguard.concurrency.own_task import in_own_task
from vecguard.config import Settings
from vecguard.config.exposure import root_coord_exposure
from vecguard.errors import ConfigurationError, InvalidParameterError, VecguardError
from vecguard.etcd import EtcdClient
from vecguard.etcd.configured import client_of
from vecguard.installations import SimilarPrefixError, named, require_no_similar, survey
from vecguard.lifecycle import ShutdownSignal, settle_memory
from vecguard.milvus_layout import Keys
from vecguard.observability.health import HealthReport, register_exposure
from vecguard.observability.log import get_logger
from vecguard.observability.metrics import service_registry
from vecguard.observability.operations import OperationsServer
from vecguard.observability.repeated import RepeatedFailure
from vecguard.passwords import PasswordHash, PasswordPolicy, hash_password
from vecguard.root_coord import configured
from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.built_in_roles import initial_roles
from vecguard.root_coord.credentials import ensure_root
from vecguard.root_coord.details import RootCoordDetails
from vecguard.root_coord.health_checks import register_health_checks
from vecguard.root_coord.listener import listen
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.role import Role
from vecguard.root_coord.role_collector import RoleCollector
from vecguard.root_coord.service import root_coord_server
from vecguard.root_record import RootState, root_state
from vecguard.secret import Secret
from vecguard.tls import connections
from vecguard.tls.peer import PeerNames
from vecguard.tls.reloading import context_of
from vecguard.tls.report import TlsCollector, register_checks

log = get_logger(__name__)

# Between terms that end soon: their cause may last, and each term costs etcd an election.
_LONGEST_PAUSE_SECONDS = 10.0
_PAUSES = BackoffPolicy(
    first_seconds=0.05, longest_seconds=_LONGEST_PAUSE_SECONDS, factor=2.0, jitter=(0.5, 1.0)
)


async def run(settings: Settings, shutdown: ShutdownSignal) -> None:
    """Serves until `shutdown` is set, then finishes running changes and steps down."""
    exposure = root_coord_exposure(settings)
    if exposure is not None:
        log.warning(str(exposure), ip=settings.root_coord.ip)
    root_password = _initial_root_password(settings)
    initial_roles(settings)  # says what is wrong with them before anything else is done
    inward, outward = connections.root_coord_listener(settings), connections.etcd_client(settings)
    tls = [context for context in (inward, outward) if context is not None]
    role = Role(configured.advertised_address(settings))
    health, registry = HealthReport(), service_registry("root_coord")
    register_health_checks(role, health)
    register_checks(tls, health)
    register_exposure(exposure, health)
    health.describe(RootCoordDetails(settings, role, tls))
    registry.register(TlsCollector(tls))
    registry.register(RoleCollector(role))
    metrics = RootCoordMetrics(registry)
    server = root_coord_server(
        role.require,
        admits=_admits(settings) if inward is not None else None,
        changed=metrics.changed,
    )
    operations = OperationsServer(
        settings.root_coord.operations.ip,
        settings.root_coord.operations.port,
        health,
        registry,
        key="rootCoord.operations",
    )
    async with (
        client_of(settings.etcd, context_of(outward), observe=metrics.etcd_asked) as etcd,
        operations,
        asyncio.TaskGroup() as tasks,
    ):
        background = [tasks.create_task(context.run()) for context in tls]
        await listen(server, settings.root_coord, context_of(inward))
        background.append(
            tasks.create_task(
                _lead(
                    settings,
                    etcd,
                    role,
                    metrics=metrics,
                    root_password=root_password,
                    shutdown=shutdown,
                )
            )
        )
        settle_memory()
        await shutdown.wait()
        if role.active_term is not None:
            await role.active_term.step_down(settings.root_coord.drain_timeout)
        role.release()
        for task in background:
            task.cancel()
        await server.drain(settings.root_coord.drain_timeout)


async def _lead(
    settings: Settings,
    etcd: EtcdClient,
    role: Role,
    *,
    metrics: RootCoordMetrics,
    root_password: Secret[str],
    shutdown: ShutdownSignal,
) -> None:
    """Stands for election and serves a term, repeatedly, until cancelled or `shutdown` is set."""
    keys = Keys.of(settings.etcd.root_path, settings.etcd.meta_sub_path)
    election = configured.election(settings, etcd, keys, clock=boot_clock, observer=role)
    pauses = Backoff(_PAUSES, random)
    failure = RepeatedFailure(log, "term_ended")
    while not shutdown.is_set():
        await _wait_for_fitting_prefix(settings, etcd, keys, role)
        leadership = await election.campaign()
        elected_at = boot_clock()
        log.info("elected", term=leadership.term, clean=leadership.clean)
        metrics.elected()
        active_term = ActiveTerm(
            etcd, keys, leadership, settings=settings, clock=boot_clock, metrics=metrics
        )
        prepare = partial(_prepare, settings, etcd, keys, active_term, root_password)
        serve = partial(role.assume, active_term)
        try:
            # A group whose member fails leaves its task marked as cancelled (Python 3.11, 3.12).
            await in_own_task(active_term.run(prepare, serve), None)
        except* VecguardError as errors:
            error = errors.exceptions[0]
            failure.failed(str(error), term=leadership.term, error=str(error))
        finally:
            role.release()
        raise_if_cancelled()
        if shutdown.is_set():
            return  # `run` resigns when the process stops
        # Whatever ended the term: the next one begins with a new leadership, here or elsewhere.
        await leadership.resign(in_good_order=False)
        if boot_clock() - elected_at >= _LONGEST_PAUSE_SECONDS:
            pauses.succeeded()
        await asyncio.sleep(pauses.failed())


async def _wait_for_fitting_prefix(
    settings: Settings, etcd: EtcdClient, keys: Keys, role: Role
) -> None:
    """Returns when this root coord may stand for election.

    It may not while it would have to create root although the prefix is likely wrong: each
    election of a root coord that cannot serve would cost the other root coords an election.
    """
    pauses = Backoff(_PAUSES, random)
    failure = RepeatedFailure(log, "cannot_lead", level="error", over="can_lead")
    while not settings.root_coord.allow_similar_prefix:
        try:
            if await root_state(etcd, keys) is RootState.NEW:
                require_no_similar(await survey(etcd, keys), keys)
        except SimilarPrefixError as error:
            role.refusal = error.message
            failure.failed(error.message, error=error.message)
            await asyncio.sleep(pauses.failed())
            continue
        except VecguardError:
            pass  # the election meets the same failure, and reports it
        break
    role.refusal = ""
    failure.ended()


def _initial_root_password(settings: Settings) -> Secret[str]:
    """Returns root's configured first password.

    Raises:
        ConfigurationError: it cannot be read or breaks the rules for passwords.
    """
    password = settings.common.security.initial_root_password()
    try:
        PasswordPolicy(
            settings.proxy.min_password_length, settings.proxy.max_password_length
        ).check(password)
    except InvalidParameterError as error:
        raise ConfigurationError(
            f"common.security.defaultRootPassword (or its file): {error.message}"
        ) from error
    return password


async def _prepare(
    settings: Settings,
    etcd: EtcdClient,
    keys: Keys,
    active_term: ActiveTerm,
    root_password: Secret[str],
) -> None:
    """Ensures that root and the built-in roles exist.

    When it is cancelled or the prefix is likely wrong, it resigns at once. This term has granted
    no lease, so the successor need not wait for one.
    """
    try:
        await _prepare_root(settings, etcd, keys, active_term, root_password)
        await active_term.ensure_roles()
    except (asyncio.CancelledError, SimilarPrefixError):
        await active_term.leadership.resign(in_good_order=active_term.leadership.clean)
        raise


async def _prepare_root(
    settings: Settings,
    etcd: EtcdClient,
    keys: Keys,
    active_term: ActiveTerm,
    password: Secret[str],
) -> None:
    async def hashed() -> PasswordHash:
        await _check_other_prefixes(settings, etcd, keys)
        return await asyncio.to_thread(hash_password, password, settings.authentication.bcrypt_cost)

    found = await ensure_root(active_term.store, hashed)
    active_term.root_seen(is_there=found is not RootState.LOST)
    if found is RootState.NEW:
        log.info("root_created", prefix=keys.root)
        if password.reveal() != password.reveal().strip():
            log.warning("root's first password begins or ends with a space, which is part of it")


async def _check_other_prefixes(settings: Settings, etcd: EtcdClient, keys: Keys) -> None:
    """Looks for credentials under other prefixes before root is created.

    Raises:
        SimilarPrefixError: the configured prefix is likely wrong.
    """
    found = await survey(etcd, keys)
    if not settings.root_coord.allow_similar_prefix:
        require_no_similar(found, keys)
    elsewhere = (*found.similar, *found.others)
    if elsewhere:
        log.warning("credentials_under_other_prefixes", own=keys.root, others=named(elsewhere))
    if found.gap:
        log.warning("other_prefixes_not_all_seen", own=keys.root, reason=found.gap)


def _admits(settings: Settings) -> Callable[[Mapping[str, Any] | None], bool]:
    allowed = frozenset(settings.internaltls.allowed_names)

    def admits(certificate: Mapping[str, Any] | None) -> bool:
        return not allowed or PeerNames.from_peercert(certificate).any_of(allowed) is not None

    return admits
