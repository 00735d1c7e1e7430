"""Where credentials are kept: the interface, and its adapter for etcd.

Begin at `interface.py`, which is all that the rest of root coord uses of a store. `etcd.py` is
chosen for each term, and one contract suite tests every adapter.
"""
