"""Milvus's account RPCs, served behind the relay in the same process.

`service.py` translates messages, `accounts.py` holds the rules, and root coord makes the changes.
Begin at `service.py`. The relay and `authentication` import nothing from here.
"""
