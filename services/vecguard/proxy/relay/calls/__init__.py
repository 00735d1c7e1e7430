"""One call between a client's stream and an upstream's: headers, data, deadline, end.

Imports `upstreams` and below; is imported by `clients` and above. Begin at `call.py`; `states.py`
lists the states of a call.
"""
