"""The life of a collection through the ORM."""

from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility
from report import Report, arguments

NAME = "e2e_orm"


def main() -> None:
    options = arguments("uri", "token")
    connections.connect(uri=options.uri, token=options.token)
    report = Report()
    report.call("version", utility.get_server_version)
    report.call("has_before", utility.has_collection, NAME)

    schema = CollectionSchema(
        [
            FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=16),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=3),
            FieldSchema("year", DataType.INT32),
        ],
        description="books",
    )
    books = Collection(NAME, schema)
    report.value("schema", books.schema.to_dict())
    report.call(
        "create_index",
        books.create_index,
        "vector",
        {"index_type": "FLAT", "metric_type": "COSINE", "params": {}},
    )
    report.call("load", books.load)
    inserted = books.insert(
        [
            [f"b{number}" for number in range(10)],
            [[number / 10, 0.5, 1 - number / 10] for number in range(10)],
            [1990 + number for number in range(10)],
        ]
    )
    report.value("insert", [inserted.insert_count, list(inserted.primary_keys)])
    report.call("flush", books.flush)
    report.value("num_entities", books.num_entities)

    found = books.search(
        [[0.9, 0.5, 0.1]], "vector", {"metric_type": "COSINE"}, limit=4, output_fields=["year"]
    )
    hits = [[hit.id, hit.distance, hit.entity.get("year")] for hit in found[0]]
    report.value("search", hits)
    report.call("query", books.query, "year < 1993", output_fields=["year", "vector"])
    deleted = books.delete('id in ["b1", "b2"]')
    report.value("delete", deleted.delete_count)
    report.call("after_delete", books.query, "year < 1995", output_fields=["id"])
    pages = books.query_iterator(batch_size=3, expr="year > 0", output_fields=["id"])
    collected = []
    while page := pages.next():
        collected.append([row["id"] for row in page])
    pages.close()
    report.value("query_iterator", collected)
    report.call("list", utility.list_collections)
    report.call("drop", utility.drop_collection, NAME)
    report.call("has_at_end", utility.has_collection, NAME)
    report.attempt("open_dropped", Collection, NAME)
    connections.disconnect("default")
    report.print()


if __name__ == "__main__":
    main()
