"""Decides what a user may call, by Milvus's roles and privileges.

Begin at `decision.py`: what a call needs, and whether the user's rights allow it. `policy.py` says
which objects roles allow, `methods.py` what each method needs, and `request_fields.py` reads that
from a request. Everything here is pure: texts and bytes come in, a decision goes out. There is no
transport, no clock and no waiting; an import contract holds it to that.
"""
