"""Gives root a new password in etcd itself, when no administrator can log in any more."""

from dataclasses import dataclass

from vecguard.cli.exit_codes import NegativeError
from vecguard.cli.reasons import Reason
from vecguard.etcd import Compare, EtcdClient, Put
from vecguard.installations import require_no_similar, survey
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.passwords import PasswordHash
from vecguard.root_record import RootState, root_marker, root_state
from vecguard.usernames import ROOT


class ChangedMeanwhileError(NegativeError):
    """Root's record was changed by others between reading and writing it."""

    reason = Reason.CHANGED_MEANWHILE

    def __init__(self) -> None:
        super().__init__(
            "root was changed at the same moment, and nothing was written; check whether the "
            "reset is still needed, and run it again"
        )


@dataclass(frozen=True, slots=True)
class Reset:
    """The result of a reset.

    Attributes:
        revision: etcd's revision of the change.
        created: whether there was no root before.
    """

    revision: int
    created: bool


async def root_exists(client: EtcdClient, keys: Keys, *, allow_similar_prefix: bool) -> bool:
    """Returns whether etcd has a record of root, which a reset otherwise creates.

    Raises:
        SimilarPrefixError: this prefix is empty, and another prefix, which differs only in
            slashes, dots, letter case or spaces, has credentials.
        EtcdError: etcd refuses, or cannot be reached.
    """
    state = await root_state(client, keys)
    if state is RootState.NEW and not allow_similar_prefix:
        require_no_similar(await survey(client, keys), keys)
    return state is RootState.FOUND


async def reset_root(client: EtcdClient, keys: Keys, password: PasswordHash) -> Reset:
    """Replaces root's hash by compare-and-set, and leaves the rest of the record as it is.

    An active root coord watches these keys: it sees a change that it did not make and makes
    every proxy drop the older password, as after a change through a proxy.

    Raises:
        ChangedMeanwhileError: the record was changed by others. Nothing was written.
        EtcdOutcomeUnknownError: the change may or may not have been written. Safe to repeat.
        EtcdError: etcd refuses, or cannot be reached.
    """
    key = keys.user(ROOT).encode()
    found = await client.range(key)
    if found.kvs:
        stored = found.kvs[0]
        record = _record(stored.value).changed(password, None)
        unchanged = Compare.mod_revision(key, "==", stored.mod_revision)
    else:
        record = Record.new(password, "")
        unchanged = Compare.version(key, "==", 0)
    result = await client.txn([unchanged], [Put(key, record.encode()), root_marker(keys)])
    if not result.succeeded:
        raise ChangedMeanwhileError
    return Reset(result.revision, created=not found.kvs)


def _record(value: bytes) -> Record:
    try:
        return Record.decode(value)
    except CorruptRecordError:
        return Record({})  # a reset repairs such a record
