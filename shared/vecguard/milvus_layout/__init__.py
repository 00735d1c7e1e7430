"""Defines Milvus's key layout and record formats, so that its data carries over and can go back.

Keys are `<rootPath>/<metaSubPath>/root-coord/...`, joined by the rules in `vecguard.key_path`.
Begin at `keys.py`; `credential_record.py` has the users' values, `role_records.py` those of roles,
grants and privilege groups.
"""

from vecguard.milvus_layout.credential_record import Record
from vecguard.milvus_layout.errors import CorruptRecordError
from vecguard.milvus_layout.keys import USERS, Keys

__all__ = ["USERS", "CorruptRecordError", "Keys", "Record"]
