"""The life of a role through the ORM's `Role`."""

from typing import Any

from pymilvus import Role, connections, utility
from report import Report, arguments


def main() -> None:
    options = arguments("address", "password")
    host, _, port = options.address.rpartition(":")
    connections.connect("default", host=host, port=port, user="root", password=options.password)
    report = Report()
    role = Role("writer")

    report.call("exists_before", role.is_exist)
    report.call("create", role.create)
    report.call("exists", role.is_exist)
    report.call("create_user", utility.create_user, "jo", "jo-first")
    report.call("add_user", role.add_user, "jo")
    report.value("users", list(role.get_users()))
    report.value("roles_of_user", roles_of("jo"))
    report.value("roles", roles_with_users())

    report.call("grant", role.grant, "Collection", "books", "Insert")
    report.call("grant_global", role.grant, "Global", "*", "CreateCollection")
    report.call("grant_in_database", role.grant, "Collection", "*", "Delete", db_name="db1")
    report.value("grants", grants(role.list_grants()))
    report.value("grants_in_database", grants(role.list_grants(db_name="db1")))
    report.value("grants_on_books", grants(role.list_grant("Collection", "books")))
    report.value("grants_on_nothing", grants(role.list_grant("Collection", "others")))
    report.attempt("grants_on_bad_type", role.list_grant, "Unknown", "*")

    report.call("revoke", role.revoke, "Collection", "books", "Insert")
    report.call("revoke_global", role.revoke, "Global", "*", "CreateCollection")
    report.attempt("drop_with_grants", role.drop)
    report.call("revoke_in_database", role.revoke, "Collection", "*", "Delete", db_name="db1")
    report.call("remove_user", role.remove_user, "jo")
    report.value("users_after", list(role.get_users()))
    report.call("drop", role.drop)
    report.call("delete_user", utility.delete_user, "jo")
    report.call("exists_at_end", role.is_exist)
    report.print()


def grants(info: Any) -> list[list[str]]:
    """Type, database, object, privilege and grantor of each grant."""
    return sorted(
        [item.object, item.db_name, item.object_name, item.privilege, item.grantor_name]
        for item in info.groups
    )


def roles_of(username: str) -> list[str]:
    (item,) = utility.list_user(username, include_role_info=True).groups
    return sorted(item.roles)


def roles_with_users() -> dict[str, list[str]]:
    info = utility.list_roles(include_user_info=True)
    return {item.role_name: sorted(item.users) for item in info.groups}


if __name__ == "__main__":
    main()
