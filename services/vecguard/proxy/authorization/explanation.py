"""Says why a call is allowed or refused: the same decision, and what it follows from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from vecguard.errors import InvalidParameterError
from vecguard.privileges.catalogue import ADMIN
from vecguard.privileges.stored_names import ANY
from vecguard.proxy.authorization.decision import Question
from vecguard.proxy.authorization.method_roles import MethodRoles
from vecguard.proxy.authorization.methods import Need
from vecguard.proxy.authorization.policy import Grant, Rights, RolePolicy
from vecguard.proxy.authorization.request_fields import RequestFields


class Reason(Enum):
    """Why a call is allowed or refused."""

    #: Allowed: every login may call the method.
    OPEN = auto()
    #: Allowed because roles are not enforced; they would refuse it.
    NOT_ENFORCED = auto()
    #: Allowed: root needs no role.
    ROOT = auto()
    #: Allowed: the user has the role `admin`.
    ADMIN = auto()
    #: Allowed: it concerns only the user, or a role of the user.
    OWN = auto()
    #: Allowed by grants of one role.
    GRANTED = auto()
    #: Refused: a grant is missing.
    NOT_GRANTED = auto()
    #: Refused: only the role `admin` would allow it.
    ADMIN_NEEDED = auto()
    #: Allowed by a role that the configuration names for the method.
    METHOD_ROLE = auto()
    #: Refused: the user has none of these roles.
    METHOD_ROLE_NEEDED = auto()

    @property
    def allows(self) -> bool:
        """Whether the call is allowed."""
        return self not in (Reason.NOT_GRANTED, Reason.ADMIN_NEEDED, Reason.METHOD_ROLE_NEEDED)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call is allowed or refused.

    Attributes:
        need: what the method needs; None if no privilege is defined for it.
        database: by whose grants it is decided; "*" for all; "" without a need.
        names: the objects; "*" where the method names none.
        role: the role that allows it, if it is GRANTED or METHOD_ROLE; `admin` if it is
            NOT_ENFORCED, and only that role would allow it; else "".
        grants: the grant for each name, if it is GRANTED.
        smallest: the grants that would allow it, if it is NOT_GRANTED or NOT_ENFORCED.
        pattern: that of the method's entry in the configuration; "" without one.
        needed: the roles that this entry names.
    """

    reason: Reason
    need: Need | None = None
    database: str = ""
    names: tuple[str, ...] = ()
    role: str = ""
    grants: tuple[Grant, ...] = ()
    smallest: tuple[Grant, ...] = ()
    pattern: str = ""
    needed: tuple[str, ...] = ()


def fields_of(need: Need, database: str, objects: Sequence[str]) -> RequestFields | None:
    """Returns what a request about these objects would have; None if nothing of it is read.

    Raises:
        InvalidParameterError: the method is about an object and none is named, or about one and
            several are.
    """
    if not need.reads_request:
        return None
    has_name = need.name != () or need.own_role != ()
    if (has_name or need.names) and not objects:
        kind = "role" if need.own_role else need.object_type.lower()
        raise InvalidParameterError(f"{need.method} needs the name of a {kind}")
    if has_name and len(objects) > 1:
        raise InvalidParameterError(f"{need.method} takes the name of one object, not of several")
    return RequestFields(
        database=database if need.database else "",
        names=tuple(objects) if need.name or need.names else (ANY,),
        other_database="",
        role=objects[0] if need.own_role else "",
    )


def explain_method_roles(entry: MethodRoles, roles: Collection[str]) -> Explanation:
    """Explains the decision about a method that has an entry in the configuration."""
    about = Explanation(Reason.METHOD_ROLE_NEEDED, pattern=entry.pattern, needed=entry.roles)
    if ADMIN in roles:
        return replace(about, reason=Reason.ADMIN)
    allowing = next((role for role in entry.roles if role in roles), None)
    return about if allowing is None else replace(about, reason=Reason.METHOD_ROLE, role=allowing)


def explain(need: Need, question: Question, rights: Rights, roles: Collection[str]) -> Explanation:
    """Explains the decision about a call that needs a privilege."""
    about = Explanation(Reason.NOT_GRANTED, need, question.database, question.names)
    if rights.is_admin:
        return replace(about, reason=Reason.ADMIN)
    if question.concerns_self(roles):
        return replace(about, reason=Reason.OWN)
    needed = (need.object_type, need.privilege, question.database)
    found = rights.granting(*needed, question.names, question.targets)
    if found is not None:
        role, grants = found
        return replace(about, reason=Reason.GRANTED, role=role, grants=grants)
    smallest = tuple(
        Grant(need.object_type, question.database, name, need.privilege) for name in question.names
    )
    # A name that no object can have is refused whatever is granted.
    if Rights([RolePolicy("", smallest, {})]).allows_all(*needed, question.names):
        return replace(about, smallest=smallest)
    return replace(about, reason=Reason.ADMIN_NEEDED)
