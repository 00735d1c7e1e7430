"""Several worker processes that share a proxy's ports, and their parent.

The parent in `supervisor.py` starts workers, restarts failed ones and adds up their health and
metrics; it handles no call. Begin at `launch.py`, which the entry point of the proxy calls.
"""
