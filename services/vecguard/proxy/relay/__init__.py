"""The data plane: takes calls from clients and passes their frames to upstreams.

Modules import in one direction: listener > reception > clients > calls > upstreams > link. The
relay knows no login, account or revocation: it asks a `Gatekeeper`. Begin at `reception.py`.
`configured.py` builds the parts from the settings.
"""
