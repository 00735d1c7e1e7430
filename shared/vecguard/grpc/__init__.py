"""Servers and channels on grpclib, with bounds, drain and errors that have a status.

grpclib's limits are worked around here once, for all our servers and channels; `etcd` builds
its own channel on the same transport. Begin at `server.py` and `channel.py`. Any service may import
it; the proxy's HTTP/2 may not.
"""
