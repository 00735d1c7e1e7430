"""The proxy: authenticates every call, serves account RPCs, and relays all others.

Only `app.py` imports every part; it wires one process together, and is where to begin reading.
Other services never import this package: they meet it at the protos.
"""
