"""The life of a user through the ORM's `connections` and `utility`."""

from typing import Any

from pymilvus import connections, utility
from report import Report, arguments

FIRST, SECOND, THIRD = "bob-first", "bob-second", "bob-third"


def main() -> None:
    options = arguments("address", "password")
    host, _, port = options.address.rpartition(":")
    report = Report()

    def connect(alias: str, user: str, password: str) -> None:
        connections.connect(alias, host=host, port=port, user=user, password=password)

    def log_in(password: str) -> Any:
        connect("trial", "bob", password)
        try:
            return utility.list_collections(using="trial")
        finally:
            connections.disconnect("trial")

    connect("default", "root", options.password)
    report.call("create", utility.create_user, "bob", FIRST)
    report.call("users", utility.list_usernames)
    report.value("user_roles", users(utility.list_user("bob", include_role_info=True)))
    report.value("root_roles", users(utility.list_user("root", include_role_info=True)))
    report.value("all_users", users(utility.list_users(include_role_info=True)))
    report.value("roles", roles(utility.list_roles(include_user_info=False)))
    report.call("login_created", log_in, FIRST)

    connect("bob", "bob", FIRST)
    report.call("reset", utility.reset_password, "bob", FIRST, SECOND, using="bob")
    report.call("reset_connection", utility.list_collections, using="bob")
    report.attempt("login_replaced", log_in, FIRST)
    report.call("login_reset", log_in, SECOND)
    report.call("update", utility.update_password, "bob", SECOND, THIRD, using="bob")
    report.attempt("stale_connection", utility.list_collections, using="bob")
    report.attempt("login_replaced_again", log_in, SECOND)
    report.call("login_updated", log_in, THIRD)

    report.attempt("wrong_old_by_root", utility.update_password, "bob", "wrong-old", FIRST)
    report.call("login_after_wrong_old", log_in, THIRD)
    report.call("reset_by_root", utility.update_password, "bob", "", SECOND)
    report.call("login_after_reset_by_root", log_in, SECOND)

    report.call("delete", utility.delete_user, "bob")
    report.attempt("login_deleted", log_in, SECOND)
    report.call("users_at_end", utility.list_usernames)
    report.call("delete_unknown", utility.delete_user, "nobody")
    report.print()


def users(info: Any) -> dict[str, list[str]]:
    return {item.username: sorted(item.roles) for item in info.groups}


def roles(info: Any) -> list[str]:
    return sorted(item.role_name for item in info.groups)


if __name__ == "__main__":
    main()
