"""What is added to grpclib: bounds, drain, faster codecs, errors with a status.

Every server and channel of ours is made here, so that grpclib's limits are worked around once.
Begin at `server.py` and `channel.py`. Any service may import it; the relay's HTTP/2 does not.
"""
