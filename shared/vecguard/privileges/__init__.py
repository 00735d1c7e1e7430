"""Names, levels and object types of Milvus's privileges, and its privilege groups.

Begin at `catalogue.py`. `stored_names.py` translates between the names of Milvus's API and the
names in its store.
"""
