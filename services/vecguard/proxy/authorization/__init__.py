"""Decides what a user may call, by Milvus's roles and privileges.

Begin at `policy.py`: it says which objects a user's roles allow. `methods.py` says which privilege
a method needs, and `request_fields.py` reads from a request what it is about. Everything here is
pure: texts and bytes come in, a decision goes out. There is no transport, no clock and no waiting;
an import contract holds it to that.
"""
