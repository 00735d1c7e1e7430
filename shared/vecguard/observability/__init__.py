"""Logs, health, metrics, and the HTTP port that shows them.

Any part may import it; it knows no service. Begin at `log.py` for logs and at `operations.py` for
the operations port.
"""
