"""Where credentials and roles are kept: the interfaces, and their adapters for etcd.

Begin at `interface.py` and `role_interface.py`, which are all that the rest of root coord uses of a
store. `etcd.py` and `roles.py` are chosen for each term; contract suites test them. Both write by
`guarded_writes.py`, as does `collection_changes.py`, which keeps drops and renames of collections.
"""
