"""HTTP/2 (RFC 9113) as a pure protocol: bytes come in, calls and bytes go out.

It has no socket, clock or gRPC library and imports nothing of the relay, which is built on it:
import contracts hold it to that. Begin at `connection.py`; `handler.py` is what it reports to.
"""
