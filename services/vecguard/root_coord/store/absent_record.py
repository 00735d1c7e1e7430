"""Makes reading a name without a record take as much work as reading one with a record."""

from vecguard.etcd.model import KeyValue
from vecguard.etcd.wire import key_value_of
from vecguard.generated import mvccpb


class AbsentRecord:
    """Holds a message that is decoded in place of a missing record.

    The time of an answer must not reveal whether there is a record.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        """Encodes the message; `value` must be as long as the value of a real record."""
        some = 1_000_000  # takes as many bytes as revisions of a store that is in use
        stored = mvccpb.KeyValue(
            key=key, value=value, create_revision=some, mod_revision=some, version=1
        )
        self._message = bytes(stored)

    def read(self) -> KeyValue:
        """Decodes the message again and returns it."""
        return key_value_of(self._message)
