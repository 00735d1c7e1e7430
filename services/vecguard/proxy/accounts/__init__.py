"""Milvus's account RPCs, served behind the relay in the same process.

`user_service.py` and `role_service.py` translate messages. `accounts.py`, `roles.py`, `grants.py`,
`privilege_groups.py` and `backup.py` hold the rules, and root coord makes the changes. Begin at
`service.py`. The relay and `authentication` import nothing from here.
"""
