"""Every way in which people log in, each followed by a call that needs the login."""

import pymilvus
from pymilvus import MilvusClient, connections, utility
from report import Report, arguments


def main() -> None:
    options = arguments("address", "user", "password")
    uri = f"http://{options.address}"
    token = f"{options.user}:{options.password}"
    host, _, port = options.address.rpartition(":")
    named = {"user": options.user, "password": options.password}
    client_ways = {
        "user_password": {"uri": uri, **named},
        "token": {"uri": uri, "token": token},
        "uri": {"uri": f"http://{token}@{options.address}"},
    }
    orm_ways = client_ways | {"host_port": {"host": host, "port": port, **named}}
    report = Report()
    report.value("pymilvus", pymilvus.__version__)
    for name, way in client_ways.items():
        client = MilvusClient(**way, dedicated=True)
        report.call(f"client_{name}", client.list_users)
        report.call(f"client_{name}_version", client.get_server_version)
        client.close()
    for name, way in orm_ways.items():
        connections.connect(alias=name, **way)
        report.call(f"orm_{name}", utility.list_usernames, using=name)
        report.call(f"orm_{name}_version", utility.get_server_version, using=name)
        connections.disconnect(name)
    report.print()


if __name__ == "__main__":
    main()
