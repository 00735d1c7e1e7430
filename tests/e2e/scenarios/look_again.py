"""What `leave_behind.py` left, as a restarted stack shows it."""

from pymilvus import MilvusClient
from report import Report, arguments


def main() -> None:
    options = arguments("address", "password", "new_password")
    uri = f"http://{options.address}"
    report = Report()
    report.attempt("replaced", MilvusClient, uri, user="root", password=options.password)
    root = MilvusClient(uri, user="root", password=options.new_password)
    frank = MilvusClient(uri, user="frank", password="frank-password")
    report.call("users", root.list_users)
    frank.load_collection("e2e_kept")
    report.call("rows", frank.query, "e2e_kept", filter="id == 7", output_fields=["*"])
    report.print()


if __name__ == "__main__":
    main()
