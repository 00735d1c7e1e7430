"""TLS for every connection: files, contexts, reloading, names in certificates.

Any service may import it. Begin at `connections.py`, which lists the five connections, then
`reloading.py`; `authority.py` makes certificates.
"""
