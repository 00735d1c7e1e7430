"""Tells clients and operators whether this proxy works.

`service` answers gRPC's health protocol on the public port, `watch_limit` bounds its open watches,
and `checks` are the conditions behind `/readyz` and `/healthz`. Begin with `checks`.
"""
