"""Upstreams, the servers that calls are forwarded to, with a pool of connections for each.

Imports `link` and below, and is imported by `calls` and above. Begin at `pool.py`.
"""
