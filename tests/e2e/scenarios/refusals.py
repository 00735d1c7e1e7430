"""Everything that a user is refused, as a user sees it."""

import base64
from typing import Any

import grpc
from pymilvus import MilvusClient
from report import Report, arguments

GET_VERSION = "/milvus.proto.milvus.MilvusService/GetVersion"


def main() -> None:
    options = arguments("address", "password")
    uri = f"http://{options.address}"
    root = MilvusClient(uri, user="root", password=options.password)
    report = Report()

    def log_in(**credentials: str) -> None:
        MilvusClient(uri, **credentials, dedicated=True).close()

    report.attempt("wrong_password", log_in, user="root", password="not-the-password")
    report.attempt("unknown_user", log_in, user="nobody", password="whatever")
    report.attempt("no_credentials", log_in)
    report.attempt("no_colon", log_in, token="an-api-key")
    with grpc.insecure_channel(options.address) as channel:
        report.attempt("not_base64", raw_call, channel, ("authorization", "%%%"))
        report.attempt("source_id", raw_call, channel, ("sourceid", encoded("@@milvus-member@@")))
        report.attempt("bearer", raw_call, channel, ("authorization", "Bearer root:Milvus"))
        report.attempt("unknown_method", raw_call, channel, path="/no.such.Service/Method")

    report.attempt("create_carol", root.create_user, "carol", "carol-password")
    report.attempt("create_again", root.create_user, "carol", "carol-password")
    report.attempt("create_root", root.create_user, "root", "another-password")
    report.attempt("short_password", root.create_user, "dave", "12345")
    report.attempt("long_password", root.create_user, "dave", "x" * 257)
    report.attempt("empty_name", root.create_user, "", "dave-password")
    report.attempt("digit_first", root.create_user, "1dave", "dave-password")
    report.attempt("bad_character", root.create_user, "da$ve", "dave-password")
    report.attempt("long_name", root.create_user, "d" * 33, "dave-password")
    report.attempt("delete_root", root.drop_user, "root")

    carol = MilvusClient(uri, user="carol", password="carol-password")
    report.attempt("wrong_old", carol.update_password, "carol", "not-carols", "carol-second")
    report.attempt("short_new", carol.update_password, "carol", "carol-password", "12345")
    report.attempt("carol_creates", carol.create_user, "dave", "dave-password")
    report.attempt("carol_drops", carol.drop_user, "carol")
    report.attempt("carol_lists", carol.list_users)
    report.attempt(
        "carol_takes_root", carol.update_password, "root", options.password, "taken-over"
    )
    report.attempt("root_resets", root.update_password, "carol", "", "carol-reset")
    report.attempt("after_reset", log_in, user="carol", password="carol-reset")
    report.attempt("drop_carol", root.drop_user, "carol")
    report.attempt("drop_unknown", root.drop_user, "nobody")
    report.attempt("users", root.list_users)
    report.print()


def raw_call(channel: grpc.Channel, *metadata: tuple[str, str], path: str = GET_VERSION) -> Any:
    """One call with exactly this metadata, which pymilvus itself would never send."""
    return channel.unary_unary(path)(b"", metadata=metadata, timeout=10)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


if __name__ == "__main__":
    main()
