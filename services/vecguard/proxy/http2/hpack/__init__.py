"""HPACK (RFC 7541): header fields, their tables and their bytes.

Decodes only the fields that the relay reads or removes, and copies the others as they came. The
rest of `http2` and the relay's header modules import it. Begin at `header_decoder.py`.
"""
