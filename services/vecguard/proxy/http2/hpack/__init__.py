"""HPACK (RFC 7541): header fields, their tables and their bytes."""
