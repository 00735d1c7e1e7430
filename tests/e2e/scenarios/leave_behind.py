"""Users, a role, a changed root password and a collection, for a stack that is stopped afterwards."""

from pymilvus import MilvusClient
from report import Report, arguments


def main() -> None:
    options = arguments("address", "password", "new_password")
    uri = f"http://{options.address}"
    root = MilvusClient(uri, user="root", password=options.password)
    root.create_user("frank", "frank-password")
    root.create_role("reader")
    for privilege in ("Load", "Query"):
        root.grant_privilege("reader", "Collection", privilege, "e2e_kept")
    root.grant_role("frank", "reader")
    root.create_collection("e2e_kept", dimension=2)
    root.insert("e2e_kept", [{"id": 7, "vector": [0.5, 0.25], "note": "kept"}])
    root.update_password("root", options.password, options.new_password)
    Report().print()


if __name__ == "__main__":
    main()
