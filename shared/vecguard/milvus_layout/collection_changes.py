"""Reads and writes the records of drops and renames of collections that have begun.

Vecguard's own. A record exists from before the backend is asked until the grants on the collection
are removed, moved, or found to stay. It has a key for each name that the change is about: that
of the collection, and for a rename the new one.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from vecguard.etcd import KeyValue
from vecguard.milvus_layout.errors import CorruptRecordError
from vecguard.milvus_layout.keys import Keys


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """A drop or a rename of a collection.

    Attributes:
        database: its database.
        name: its name before the change.
        new_database: for a rename, the database to which it moves; else "".
        new_name: for a rename, its name after the change; else "".
        collection_id: the backend's id of the collection; 0: the backend has no ids; None: there
            was no such collection.
        token: a random text that identifies the attempt.
        proxy: the proxy that asks the backend.
        since: when it began, in seconds since 1970 by root coord's clock. For people only.
    """

    database: str
    name: str
    new_database: str = ""
    new_name: str = ""
    collection_id: int | None = None
    token: str = ""
    proxy: str = ""
    since: int = 0

    @property
    def is_rename(self) -> bool:
        """Whether the collection continues under a new name."""
        return self.new_name != ""

    @property
    def source(self) -> tuple[str, str]:
        """The database and the name before the change."""
        return self.database, self.name

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Every database and name that it is about, the source first."""
        if self.is_rename:
            return self.source, (self.new_database, self.new_name)
        return (self.source,)

    def encode(self) -> bytes:
        """Returns the record's value."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> "CollectionChange":
        """Reads a value. Raises CorruptRecordError."""
        try:
            found = json.loads(value)
            change = cls(**{each.name: found[each.name] for each in fields(cls)})
        except (ValueError, RecursionError, TypeError, KeyError) as error:
            raise CorruptRecordError("not the record of a drop or a rename") from error
        place = (change.database, change.name, change.new_database, change.new_name)
        texts = (*place, change.token, change.proxy)
        numbers = (change.since, 0 if change.collection_id is None else change.collection_id)
        if not all(isinstance(each, str) for each in texts) or not all(
            type(each) is int for each in numbers
        ):
            raise CorruptRecordError("a value of the record has a wrong type")
        if not (change.database and change.name):
            raise CorruptRecordError("the record names no collection")
        return change


def name_of(keys: Keys, kv: KeyValue) -> tuple[str, str]:
    """Returns the database and the name in the key of a record."""
    below = kv.key.decode(errors="replace").removeprefix(keys.collection_changes)
    database, _, name = below.partition("/")
    return database, name


def suspended(keys: Keys, kvs: Iterable[KeyValue]) -> frozenset[tuple[str, str]]:
    """Returns the collections whose grants have no effect meanwhile, by database and name.

    Grants on the new name of a rename count. A record that cannot be read suspends its name.
    """
    found = set()
    for kv in kvs:
        name = name_of(keys, kv)
        try:
            if CollectionChange.decode(kv.value).source != name:
                continue
        except CorruptRecordError:
            pass
        found.add(name)
    return frozenset(found)
