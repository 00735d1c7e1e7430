"""Root coord: owns credentials in etcd and makes a change hold at every proxy before it answers.

One process is active and others stand by. Begin at `app.py`, the composition root, then read
`credentials.py` for a change. Other services never import this package: they meet it at the protos.
"""
