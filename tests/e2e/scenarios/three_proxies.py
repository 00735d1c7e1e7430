"""A password changed through one proxy, tried at once on all of them."""

from pymilvus import MilvusClient
from report import Report, arguments

ROUNDS = 5


def main() -> None:
    options = arguments("addresses", "password")
    uris = [f"http://{address}" for address in options.addresses.split(",")]
    root = MilvusClient(uris[0], user="root", password=options.password)
    report = Report()
    passwords = [f"erin-{number}" for number in range(ROUNDS + 1)]
    root.create_user("erin", passwords[0])
    try:
        for number in range(ROUNDS):
            old, new = passwords[number], passwords[number + 1]
            # One login per proxy, used once more, so that each proxy has it in memory.
            known = [MilvusClient(uri, user="erin", password=old) for uri in uris]
            for client in known:
                client.list_collections()
            known[0].update_password("erin", old, new)
            for index, client in enumerate(known):
                report.attempt(f"{number}_known_on_{index}", client.list_collections)
            for index, uri in enumerate(uris):
                report.attempt(f"{number}_old_on_{index}", log_in, uri, old)
                report.attempt(f"{number}_new_on_{index}", log_in, uri, new)
            for client in known:
                client.close()
    finally:
        root.drop_user("erin")
    for index, uri in enumerate(uris):
        report.attempt(f"dropped_on_{index}", log_in, uri, passwords[-1])
    report.print()


def log_in(uri: str, password: str) -> None:
    # Dedicated: else pymilvus would share the connection of an earlier client.
    client = MilvusClient(uri, user="erin", password=password, dedicated=True)
    client.list_collections()
    client.close()


if __name__ == "__main__":
    main()
