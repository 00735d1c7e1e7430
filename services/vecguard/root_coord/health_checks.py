"""Registers root coord's health checks: role, prefix, changes, root, root_password."""

from vecguard.observability.health import Check, HealthReport
from vecguard.root_coord.errors import StandbyError
from vecguard.root_coord.role import Role
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_record import LOST
from vecguard.wording import counted

# A longer list would hide the rest of the message.
_NAMED = 5


def register_health_checks(role: Role, health: HealthReport) -> None:
    """Registers the checks of the role, the prefix, waiting changes and root's record."""
    health.register("role", lambda: _role(role))
    health.register("prefix", lambda: _prefix(role))
    health.register("changes", lambda: _changes(role))
    health.register("root", lambda: _root(role))
    health.register("root_password", lambda: _root_password(role))


def _role(role: Role) -> Check:
    try:
        active_term = role.require()
    except StandbyError as error:
        # The reason of a refusal is long; the check `prefix` reports it.
        message = (
            "this root coord cannot become active: see the check prefix"
            if role.refusal
            else error.message
        )
        return Check("role", healthy=False, critical=True, message=message)
    return Check(
        "role",
        healthy=True,
        critical=True,
        message=f"active since term {active_term.term}, "
        f"{counted(active_term.hub.connected, 'proxy', 'proxies')} connected",
    )


def _prefix(role: Role) -> Check:
    """Reports whether etcd's prefix is likely wrong, so that this root coord can never lead."""
    message = role.refusal or "no sign that the configured prefix is wrong"
    return Check("prefix", healthy=not role.refusal, critical=True, message=message)


def _changes(role: Role) -> Check:
    """Reports whether a change has waited long, or every new one would have to."""
    waits = "" if role.active_term is None else _waits(role.active_term.hub)
    return Check(
        "changes", healthy=not waits, critical=False, message=waits or "no change waits for long"
    )


def _root(role: Role) -> Check:
    """Reports whether root's record was lost, as far as the active root coord knows.

    Not critical: all other users are served, and a process that is not ready serves no user.
    """
    if role.active_term is None:
        return Check(
            "root", healthy=True, critical=False, message="only the active root coord knows"
        )
    is_lost = role.active_term.root_is_lost
    return Check(
        "root",
        healthy=not is_lost,
        critical=False,
        message=LOST if is_lost else "the record of root is not lost",
    )


def _root_password(role: Role) -> Check:
    is_default = None if role.active_term is None else role.active_term.root_password.is_default
    if is_default is None:
        message = (
            "only the active root coord knows" if role.active_term is None else "not known yet"
        )
    elif is_default:
        message = "it is the well-known default password; change it: vecguard user passwd root"
    else:
        message = "it is not the well-known default password"
    return Check("root_password", healthy=not is_default, critical=False, message=message)


def _waits(hub: SessionHub) -> str:
    parts = []
    if seconds := hub.earlier_leases_seconds:
        parts.append(
            f"every change waits for up to {seconds:.1f} s: "
            "leases that an earlier root coord granted may still be valid"
        )
    awaited = hub.awaited
    if awaited is not None and awaited.proxies:
        named = ", ".join(awaited.proxies[:_NAMED])
        more = len(awaited.proxies[_NAMED:])
        others = f" and {more} more" if more else ""
        parts.append(
            f"a change waits for proxy {named}{others}, for at most {awaited.seconds_at_most:.1f} s"
        )
    return "; ".join(parts)
