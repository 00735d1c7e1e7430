"""Equal work for names with and without a record."""

from vecguard.etcd.model import KeyValue, key_value
from vecguard.generated import mvccpb


class AbsentRecord:
    """Is decoded where etcd has no record, as a real one is decoded where it has one.

    The time that an answer takes must not tell whether there is a record.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        """`value` is as long as that of a real record."""
        some = 1_000_000  # takes as many bytes as revisions of a store that is in use
        stored = mvccpb.KeyValue(
            key=key, value=value, create_revision=some, mod_revision=some, version=1
        )
        self._message = bytes(stored)

    def read(self) -> KeyValue:
        """Decodes the message once more and returns it."""
        return key_value(mvccpb.KeyValue().parse(self._message))
