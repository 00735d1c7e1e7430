"""What a reader sees in lists and may search by an alias, through each proxy."""

from pymilvus import MilvusClient
from report import Report, arguments

ROLE, USER, PASSWORD = "lists_reader", "lists_user", "lists-secret"


def main() -> None:
    options = arguments("addresses", "password")
    uris = [f"http://{address}" for address in options.addresses.split(",")]
    root = MilvusClient(uris[0], user="root", password=options.password)
    report = Report()
    for name in ("lists_books", "lists_films"):
        root.create_collection(name, dimension=2)
        root.insert(name, [{"id": 1, "vector": [0.0, 1.0]}])
    root.create_alias("lists_books", "lists_library")
    root.create_user(USER, PASSWORD)
    root.create_role(ROLE)
    root.grant_privilege(ROLE, "Collection", "Search", "lists_books")
    root.grant_role(USER, ROLE)
    clients = [MilvusClient(uri, user=USER, password=PASSWORD) for uri in uris]
    try:
        for index, client in enumerate(clients):
            report.attempt(f"databases_{index}", client.list_databases)
            report.attempt(f"collections_{index}", client.list_collections)
            report.attempt(f"alias_{index}", found, client, "lists_library")
            report.attempt(f"other_{index}", found, client, "lists_films")
        root.revoke_privilege(ROLE, "Collection", "Search", "lists_books")
        for index, client in enumerate(clients):
            report.attempt(f"revoked_collections_{index}", client.list_collections)
            report.attempt(f"revoked_alias_{index}", found, client, "lists_library")
    finally:
        root.revoke_role(USER, ROLE)
        root.drop_role(ROLE)
        root.drop_user(USER)
        root.drop_alias("lists_library")
        for name in ("lists_books", "lists_films"):
            root.drop_collection(name)
    report.print()


def found(client: MilvusClient, name: str) -> int:
    return client.search(name, [[0.0, 1.0]], limit=1)[0][0]["id"]


if __name__ == "__main__":
    main()
