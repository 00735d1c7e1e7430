"""A backup of roles and its restoration, through the messages of pymilvus.

pymilvus has no function for them; backup tools send them over its stub.
"""

import base64

import grpc
from pymilvus import MilvusClient
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc
from report import Report, arguments


def main() -> None:
    options = arguments("address", "password")
    uri = f"http://{options.address}"
    root = MilvusClient(uri, user="root", password=options.password)
    login = base64.b64encode(f"root:{options.password}".encode()).decode()
    metadata = (("authorization", login),)
    stub = milvus_pb2_grpc.MilvusServiceStub(grpc.insecure_channel(options.address))
    report = Report()

    def back_up() -> milvus_pb2.RBACMeta:
        reply = stub.BackupRBAC(milvus_pb2.BackupRBACMetaRequest(), metadata=metadata)
        if reply.status.code:
            raise RuntimeError(reply.status.reason)
        return reply.RBAC_meta

    def restore(meta: milvus_pb2.RBACMeta) -> list[object]:
        request = milvus_pb2.RestoreRBACMetaRequest(RBAC_meta=meta)
        status = stub.RestoreRBAC(request, metadata=metadata)
        return [status.code, status.error_code, status.reason]

    def drop_all() -> None:
        root.revoke_privilege("keeper", "Collection", "Search", "books")
        root.drop_role("keeper")
        root.drop_user("kim")

    root.create_role("keeper")
    root.create_user("kim", "kim-first")
    root.grant_role("kim", "keeper")
    root.grant_privilege("keeper", "Collection", "Search", "books")
    meta = back_up()
    report.value("users", {user.user: [role.name for role in user.roles] for user in meta.users})
    report.value("roles", [role.name for role in meta.roles])
    report.value("grants", [[each.role.name, each.object.name, each.db_name, each.object_name,
                             each.grantor.privilege.name] for each in meta.grants])  # fmt: skip
    report.value("conflict", restore(meta))
    drop_all()
    report.value("restored", restore(meta))
    report.call("restored_user", root.describe_user, "kim")
    report.call("restored_role", root.describe_role, "keeper")
    # The password is the saved one.
    report.call("login", MilvusClient(uri, user="kim", password="kim-first").describe_user, "kim")
    drop_all()
    meta.users[0].password = "clear-text"
    report.value("no_hash", restore(meta))
    report.value("users_at_end", root.list_users())
    report.value("roles_at_end", sorted(root.list_roles()))
    report.print()


if __name__ == "__main__":
    main()
