"""Our roles and those of a real Milvus 2.3.5, on one store: `make compare-milvus`."""
