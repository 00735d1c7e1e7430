"""The calls that the proxy itself makes to the backend, as a client would.

Lists of databases and collections are asked for a user, and show only what the user sees; aliases
are asked to know which collection a call is about. Drops and renames of collections are forwarded
here, and their grants are removed or moved. The relay has no part in these calls. Begin at
`lists.py`, `aliases.py` and `collection_changes.py`.
"""
