"""Decides what a user may call: pure code without transport, tasks or clock.

Begin at `methods.py`, which says what each method of Milvus needs.
"""
