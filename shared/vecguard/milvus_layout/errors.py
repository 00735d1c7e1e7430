"""Defines the error of a record that cannot be read."""


class CorruptRecordError(Exception):
    """A stored key or value is not what Milvus writes. The text never shows a password or hash."""
