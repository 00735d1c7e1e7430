"""Translates names of pymilvus's functions to those of the RPCs that they call."""

import re
from typing import Final

# The other functions are called as their RPC, in lower case and with underscores.
_OTHERS: Final = {
    "get": "Query",
    "query_iterator": "Query",
    "search_iterator": "Search",
    "list_collections": "ShowCollections",
    "get_collection_stats": "GetCollectionStatistics",
    "refresh_load": "LoadCollection",
    "alter_collection_properties": "AlterCollection",
    "drop_collection_properties": "AlterCollection",
    "list_partitions": "ShowPartitions",
    "get_partition_stats": "GetPartitionStatistics",
    "list_indexes": "DescribeIndex",
    "alter_index_properties": "AlterIndex",
    "drop_index_properties": "AlterIndex",
    "compact": "ManualCompaction",
    "add_function_field": "AlterCollectionSchema",
    "drop_function_field": "AlterCollectionSchema",
    "drop_collection_field": "AlterCollectionSchema",
    "list_persistent_segments": "GetPersistentSegmentInfo",
    "list_loaded_segments": "GetQuerySegmentInfo",
    "describe_replica": "GetReplicas",
    "use_database": "DescribeDatabase",
    "alter_database_properties": "AlterDatabase",
    "drop_database_properties": "AlterDatabase",
    "get_server_version": "GetVersion",
    "create_user": "CreateCredential",
    "update_password": "UpdateCredential",
    "update_user": "UpdateCredential",
    "drop_user": "DeleteCredential",
    "list_users": "ListCredUsers",
    "describe_user": "SelectUser",
    "list_roles": "SelectRole",
    "describe_role": "SelectGrant",
    "grant_role": "OperateUserRole",
    "revoke_role": "OperateUserRole",
    "grant_privilege": "OperatePrivilege",
    "revoke_privilege": "OperatePrivilege",
    "grant_privilege_v2": "OperatePrivilegeV2",
    "revoke_privilege_v2": "OperatePrivilegeV2",
    "add_privileges_to_group": "OperatePrivilegeGroup",
    "remove_privileges_from_group": "OperatePrivilegeGroup",
}
_FUNCTION: Final = re.compile(r"[a-z]\w*")

#: The RPCs about a database that are judged by the grants in that database.
ABOUT_DATABASES: Final = frozenset(("AlterDatabase", "DescribeDatabase"))
#: The RPCs about a user or a role, whose name may have dots.
ABOUT_USERS_AND_ROLES: Final = frozenset(
    {
        *("UpdateCredential", "SelectUser", "SelectGrant"),
        *("AddUserTags", "DeleteUserTags", "GetUserTags"),
    }
)


def rpc_of(name: str) -> str:
    """Returns the RPC of a function's name; the name of an RPC stays as it is."""
    if not _FUNCTION.fullmatch(name):
        return name
    return _OTHERS.get(name) or "".join(part.capitalize() for part in name.split("_"))
