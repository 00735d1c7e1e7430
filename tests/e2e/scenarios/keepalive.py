"""A client that is idle for a while, kept alive by gRPC's PINGs, and then goes on."""

import time

from pymilvus import MilvusClient
from report import Report, arguments


def main() -> None:
    options = arguments("address", "user", "password", "idle")
    report = Report()
    client = MilvusClient(
        f"http://{options.address}",
        user=options.user,
        password=options.password,
        dedicated=True,
        # Before 3.0 this has no effect, and PINGs come every ten seconds.
        grpc_options={"grpc.keepalive_time_ms": 1000},
    )
    report.call("users_before", client.list_users)
    time.sleep(float(options.idle))
    report.call("users_after", client.list_users)
    client.close()
    report.print()


if __name__ == "__main__":
    main()
