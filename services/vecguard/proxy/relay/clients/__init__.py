"""Client connections: accepting, TLS, turns, limits and lifetime.

Imports `calls` and below; is imported by `reception` and `listener`. Begin at `client_link.py`, and
at `acceptor.py` for what happens before a connection has one.
"""
