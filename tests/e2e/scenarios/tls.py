"""Logs in over TLS in many ways at once, by MilvusClient and by the ORM."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymilvus
from pymilvus import MilvusClient, connections, utility
from report import Report, arguments


def main() -> None:
    """`--ways` is a JSON object: a name, and the keyword arguments of that way."""
    ways = json.loads(arguments("ways").ways)
    report = Report()
    report.value("pymilvus", pymilvus.__version__)

    def both(name: str) -> None:
        for kind, log_in in (("client", by_client), ("orm", by_orm)):
            begun = time.monotonic()
            report.attempt(f"{name}_{kind}", log_in, f"{name}_{kind}", ways[name])
            report.value(f"{name}_{kind}_seconds", time.monotonic() - begun)

    # A refused connection is tried again by grpc until the time is over.
    with ThreadPoolExecutor(len(ways)) as threads:
        list(threads.map(both, ways))
    report.print()


def by_client(_: str, way: dict[str, Any]) -> list[str]:
    client = MilvusClient(**way, dedicated=True)
    try:
        return client.list_users()
    finally:
        client.close()


def by_orm(alias: str, way: dict[str, Any]) -> list[str]:
    connections.connect(alias, **way)
    try:
        return utility.list_usernames(using=alias)
    finally:
        connections.disconnect(alias)


if __name__ == "__main__":
    main()
