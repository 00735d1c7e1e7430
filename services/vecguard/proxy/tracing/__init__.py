"""Spans of calls for an OpenTelemetry collector, where the extra `tracing` is installed.

Begin at `configured.py`, which imports the rest only when tracing is on. The relay sees it through
the interface in `relay/calls/tracing.py`.
"""
