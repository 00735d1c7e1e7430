"""The audit log: refused logins and changes of accounts, one JSON line each.

`audit_log.py` says what is recorded and is where to begin; `event_aggregation.py` joins repeated
events, and `line_writer.py` writes from a thread of its own. The relay imports nothing from here.
"""
