"""Why Milvus 2.3.5 and ours decide some calls differently. Anything else is a bug.

Milvus has changed its rule and its table of privileges since 2.3.5. Ours are those of Milvus 3.0,
with the additions that docs/roles.md describes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.milvus_2_3_5.cases import FORMER_PRIVILEGES, Case, Outcome
from tests.milvus_2_3_5.exchange import Turn
from tests.milvus_2_3_5.policy import LATER_USER, Grant
from vecguard.proxy.authorization.methods import ADMIN_ONLY, LISTS


@dataclass(frozen=True)
class Question:
    """A case with what decides it.

    Attributes:
        grants: those of the user.
        by_header: how we decide the case without a database in the request.
    """

    case: Case
    grants: Sequence[Grant]
    by_header: Outcome

    def has_for_all_databases(self, privilege: str) -> bool:
        return any((grant.privilege, grant.database) == (privilege, "*") for grant in self.grants)

    def has_needed_in(self, *databases: str) -> bool:
        """Whether a grant of exactly one of these databases is of what the method needs here."""
        need = self.case.need
        return need is not None and any(
            grant.database in databases
            and (
                grant.privilege == "All"
                or (
                    grant.object_type == need.object_type
                    and grant.privilege in ("*", need.privilege.removeprefix("Privilege"))
                )
            )
            for grant in self.grants
        )


@dataclass(frozen=True)
class Difference:
    """One reason for different decisions, and the cases that it explains."""

    reason: str
    explains: Callable[[Question], bool]


#: We allow what Milvus 2.3.5 refuses.
ALLOWED_HERE = (
    Difference(
        "The lists need no privilege in later versions: they show only what the user may see",
        lambda asked: asked.case.path.encode() in LISTS,
    ),
    Difference(
        "Milvus 2.3.5 wants the privilege Load for the state of loading; later it is GetLoadState",
        lambda asked: (
            asked.case.method in FORMER_PRIVILEGES and asked.has_needed_in(asked.case.database, "*")
        ),
    ),
    Difference(
        "Milvus 2.3.5 looks for the name of the collection to compact in the field of its id",
        lambda asked: (
            asked.case.method == "ManualCompaction"
            and asked.has_needed_in(asked.case.database, "*")
        ),
    ),
    Difference(
        "Milvus 2.3.5 gives public no ListAliases; root coord does (enablePublicPrivilege)",
        lambda asked: (
            asked.case.method == "ListAliases" and asked.has_for_all_databases("ListAliases")
        ),
    ),
    Difference(
        "Milvus 2.3.5 decides by the header's database also where the request names another",
        lambda asked: (
            asked.case.body not in ("", asked.case.header_database)
            and asked.by_header is not Outcome.ALLOWED
        ),
    ),
    Difference(
        "Privileges of the cluster are decided in the database `*`, for which All is granted",
        lambda asked: _is_of_cluster(asked) and asked.has_for_all_databases("All"),
    ),
    Difference(
        "Milvus 2.3.5 knows no v1 groups but All, no v2 groups, and none of the newer privileges",
        lambda asked: asked.case.username == LATER_USER,
    ),
)

#: We refuse what Milvus 2.3.5 allows.
REFUSED_HERE = (
    Difference(
        "Privileges of the cluster are decided in the database `*`, and granted in another",
        lambda asked: _is_of_cluster(asked) and asked.has_needed_in(asked.case.header_database),
    ),
    Difference(
        "A method without a privilege that tells about every collection needs the role admin",
        lambda asked: asked.case.path.encode() in ADMIN_ONLY,
    ),
    Difference(
        "Milvus 2.3.5 wants the privilege Load for the state of loading; later it is GetLoadState",
        lambda asked: (
            asked.case.method in FORMER_PRIVILEGES
            and any(grant.privilege == "Load" for grant in asked.grants)
        ),
    ),
    Difference(
        "Milvus 2.3.5 wants no privilege for these methods",
        lambda asked: asked.case.method in ("AlterAlias", "GetPartitionStatistics"),
    ),
    Difference(
        "Milvus 2.3.5 decides by the header's database also where the request names another",
        lambda asked: (
            asked.case.body not in ("", asked.case.header_database)
            and asked.by_header is Outcome.ALLOWED
        ),
    ),
    Difference(
        "No collection can have such a name, which could be read as a database and a name",
        lambda asked: any("." in name for name in asked.case.names),
    ),
)


def _is_of_cluster(asked: Question) -> bool:
    return asked.case.need is not None and asked.case.need.cluster


def allowed_here(turn: Turn) -> list[Question]:
    """The cases that we allow and Milvus refuses."""
    return _where(turn, milvus=False, ours=True)


def refused_here(turn: Turn) -> list[Question]:
    """The cases that Milvus allows and we refuse."""
    return _where(turn, milvus=True, ours=False)


def explanation(differences: Sequence[Difference], question: Question) -> str | None:
    """The first reason for a different decision; None if there is none."""
    found = (each.reason for each in differences if each.explains(question))
    return next(found, None)


def _where(turn: Turn, *, milvus: bool, ours: bool) -> list[Question]:
    grants = {name: turn.ours.policy.of_user(name) for name in turn.ours.policy.users}
    return [
        Question(case, grants[case.username], by_header)
        for case, theirs, own, by_header in zip(
            turn.cases,
            turn.milvus.outcomes,
            turn.ours.outcomes,
            turn.ours_by_header,
            strict=True,
        )
        if (theirs is Outcome.ALLOWED) is milvus and (own is Outcome.ALLOWED) is ours
    ]
