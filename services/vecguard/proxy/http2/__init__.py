"""HTTP/2 (RFC 9113) and HPACK (RFC 7541) as pure protocol: bytes in, calls and bytes out.

No socket, no clock and no notion of who may do what. `connection.py` is the door.
"""
