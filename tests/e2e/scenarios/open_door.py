"""What a proxy answers when authorization is switched off."""

from pymilvus import MilvusClient
from report import Report, arguments


def main() -> None:
    options = arguments("address")
    uri = f"http://{options.address}"
    report = Report()
    ways = {
        "nothing": {},
        "wrong_password": {"user": "root", "password": "not-the-password"},
        "unknown_user": {"user": "nobody", "password": "whatever"},
        "api_key": {"token": "an-api-key"},
    }
    for name, credentials in ways.items():
        report.attempt(name, collections, uri, credentials)
    report.print()


def collections(uri: str, credentials: dict[str, str]) -> list[str]:
    client = MilvusClient(uri, **credentials, dedicated=True)
    try:
        return client.list_collections()
    finally:
        client.close()


if __name__ == "__main__":
    main()
