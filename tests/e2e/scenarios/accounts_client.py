"""The life of a user through MilvusClient."""

from pymilvus import MilvusClient
from report import Report, arguments

FIRST, SECOND, THIRD = "ada-first", "ada-second", "ada-third"


def main() -> None:
    options = arguments("address", "password")
    uri = f"http://{options.address}"
    root = MilvusClient(uri, user="root", password=options.password)
    report = Report()

    def log_in(password: str) -> list[str]:
        # Dedicated: else pymilvus would share the connection of an earlier client.
        client = MilvusClient(uri, user="ada", password=password, dedicated=True)
        try:
            return client.list_collections()
        finally:
            client.close()

    report.attempt("login_before", log_in, FIRST)
    report.call("create", root.create_user, "ada", FIRST)
    report.call("users", root.list_users)
    report.call("describe_root", root.describe_user, "root")
    report.call("describe", root.describe_user, "ada")
    report.call("describe_unknown", root.describe_user, "nobody")
    report.call("roles", root.list_roles)
    report.call("describe_admin", root.describe_role, "admin")
    report.call("describe_public", root.describe_role, "public")
    report.call("login_created", log_in, FIRST)

    ada = MilvusClient(uri, user="ada", password=FIRST)
    report.call("describe_self", ada.describe_user, "ada")
    report.call("update", ada.update_password, "ada", FIRST, SECOND)
    report.attempt("stale_connection", ada.list_collections)
    report.attempt("login_replaced", log_in, FIRST)
    report.call("login_updated", log_in, SECOND)

    again = MilvusClient(uri, user="ada", password=SECOND)
    report.call("update_reset", again.update_password, "ada", SECOND, THIRD, reset_connection=True)
    report.call("reset_connection", again.list_collections)
    report.attempt("login_replaced_again", log_in, SECOND)
    report.call("login_updated_again", log_in, THIRD)

    report.attempt("wrong_old_by_root", root.update_password, "ada", "wrong-old", FIRST)
    report.attempt("wrong_old_of_unknown", root.update_password, "nobody", "wrong-old", FIRST)
    report.call("login_after_wrong_old", log_in, THIRD)
    report.call("reset_by_root", root.update_password, "ada", "", SECOND)
    report.call("login_after_reset", log_in, SECOND)

    report.call("drop", root.drop_user, "ada")
    report.attempt("dropped_connection", again.list_collections)
    report.attempt("login_dropped", log_in, SECOND)
    report.call("users_at_end", root.list_users)
    report.call("drop_unknown", root.drop_user, "nobody")
    report.print()


if __name__ == "__main__":
    main()
