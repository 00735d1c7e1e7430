"""For keys that are absent: work as for one that was read."""

from vecguard.etcd.model import KeyValue, key_value
from vecguard.generated import mvccpb


class StandIn:
    """A key that nobody has stored.

    The time that an answer takes must not tell whether there is one.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        some = 1_000_000  # in so many bytes as revisions of a store that is in use have
        stored = mvccpb.KeyValue(
            key=key, value=value, create_revision=some, mod_revision=some, version=1
        )
        self._message = bytes(stored)

    def read(self) -> KeyValue:
        """Decodes it once more."""
        return key_value(mvccpb.KeyValue().parse(self._message))
