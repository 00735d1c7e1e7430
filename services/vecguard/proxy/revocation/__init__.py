"""The proxy's half of the revocation protocol (docs/revocation.md).

`lease.py` is the pure state machine and where to begin; `trust.py` says what a lease allows, and
`revocations.py` what an invalidation does to caches and open calls. Only `app.py`, `metrics.py` and
`vecguard.proxy.root_coord` import this package.
"""
