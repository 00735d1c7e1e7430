"""The life of roles, grants, privilege groups and backups through MilvusClient."""

from typing import Any

from pymilvus import MilvusClient
from report import Report, arguments

PASSWORD = "ida-first"


def main() -> None:
    options = arguments("address", "password")
    uri = f"http://{options.address}"
    root = MilvusClient(uri, user="root", password=options.password)
    report = Report()

    def privileges(role: str, database: str = "*") -> list[list[str]]:
        """The grants: type, database, object, privilege, grantor."""
        found = root.describe_role(role, db_name=database)["privileges"]
        names = ("object_type", "db_name", "object_name", "privilege", "grantor_name")
        return sorted([grant[name] for name in names] for grant in found)

    def groups() -> dict[str, list[str]]:
        return {
            group["privilege_group"]: list(group["privileges"])
            for group in root.list_privilege_groups()
        }

    report.call("create", root.create_role, "reader")
    report.attempt("create_again", root.create_role, "reader")
    report.attempt("create_badly", root.create_role, "bad-role")
    report.call("roles", root.list_roles)
    report.call("describe", root.describe_role, "reader")
    report.attempt("describe_unknown", root.describe_role, "nothing")

    report.call("create_user", root.create_user, "ida", PASSWORD)
    report.call("give", root.grant_role, "ida", "reader")
    report.call("give_again", root.grant_role, "ida", "reader")
    report.attempt("give_unknown", root.grant_role, "ida", "nothing")
    report.attempt("give_to_unknown", root.grant_role, "nobody", "reader")
    report.call("user", root.describe_user, "ida")
    ida = MilvusClient(uri, user="ida", password=PASSWORD)
    report.call("own_user", ida.describe_user, "ida")

    report.call("grant", root.grant_privilege, "reader", "Collection", "Search", "books")
    report.call("grant_again", root.grant_privilege, "reader", "Collection", "Search", "books")
    report.call("grant_load", root.grant_privilege, "reader", "Collection", "Load", "books", "db1")
    report.attempt("grant_badly", root.grant_privilege, "reader", "Global", "Search", "*")
    report.value("grants", privileges("reader"))
    report.value("grants_in_default", privileges("reader", ""))
    report.attempt("drop_with_grants", root.drop_role, "reader")
    report.call(
        "revoke_load", root.revoke_privilege, "reader", "Collection", "Load", "books", "db1"
    )
    report.value("grants_after_load", privileges("reader"))

    if hasattr(root, "grant_privilege_v2"):
        second_api(root, report, privileges, groups)

    report.call("take", root.revoke_role, "ida", "reader")
    report.call("take_again", root.revoke_role, "ida", "reader")
    report.call("user_after", root.describe_user, "ida")
    report.call("revoke", root.revoke_privilege, "reader", "Collection", "Search", "books")
    report.call("revoke_again", root.revoke_privilege, "reader", "Collection", "Search", "books")
    report.call("drop", root.drop_role, "reader")
    report.attempt("drop_again", root.drop_role, "reader")
    report.attempt("drop_admin", root.drop_role, "admin")
    report.call("drop_user", root.drop_user, "ida")
    report.call("roles_at_end", root.list_roles)
    report.print()


def second_api(root: MilvusClient, report: Report, privileges: Any, groups: Any) -> None:
    """What pymilvus has since 2.5: grants without types, and privilege groups."""
    report.call("create_group", root.create_privilege_group, "readers")
    report.attempt("create_group_again", root.create_privilege_group, "readers")
    report.attempt("create_group_built_in", root.create_privilege_group, "ClusterAdmin")
    report.call("add", root.add_privileges_to_group, "readers", ["Query", "Search"])
    report.call("remove", root.remove_privileges_from_group, "readers", ["Search"])
    report.attempt("add_unknown", root.add_privileges_to_group, "readers", ["Unknown"])
    report.attempt("add_of_cluster", root.add_privileges_to_group, "readers", ["ListDatabases"])
    report.value("groups", groups())

    report.call("grant_group", root.grant_privilege_v2, "reader", "readers", "books", "db1")
    report.call(
        "grant_built_in", root.grant_privilege_v2, "reader", "CollectionReadOnly", "*", "default"
    )
    report.call("grant_v2", root.grant_privilege_v2, "reader", "Insert", "books")
    report.attempt("grant_scope", root.grant_privilege_v2, "reader", "ClusterAdmin", "*", "default")
    report.attempt("grant_unknown", root.grant_privilege_v2, "reader", "Unknown", "*", "default")
    report.value("grants_v2", privileges("reader"))
    report.attempt("drop_group_in_use", root.drop_privilege_group, "readers")
    report.call("revoke_group", root.revoke_privilege_v2, "reader", "readers", "books", "db1")
    report.call(
        "revoke_built_in", root.revoke_privilege_v2, "reader", "CollectionReadOnly", "*", "default"
    )
    # A grant of the second API, revoked by the first.
    report.call("revoke_v1", root.revoke_privilege, "reader", "Collection", "Insert", "books")
    report.value("grants_after_v2", privileges("reader"))
    report.call("drop_group", root.drop_privilege_group, "readers")
    report.call("drop_group_again", root.drop_privilege_group, "readers")
    report.value("groups_at_end", sorted(groups()))


if __name__ == "__main__":
    main()
