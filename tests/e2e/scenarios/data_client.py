"""The life of a collection through MilvusClient."""

from pymilvus import DataType, MilvusClient
from report import Report, arguments

NAME = "e2e_client"


def rows(first: int, count: int) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "vector": [number / 10, 1 - number / 10, 0.25, -0.5],
            "title": f"Büch {number} 📘",
            "price": number * 1.5,
            "in_print": number % 2 == 0,
            "tags": {"shelf": number % 3, "words": ["a", "b"]},
        }
        for number in range(first, first + count)
    ]


def main() -> None:
    options = arguments("uri", "token")
    client = MilvusClient(options.uri, token=options.token)
    report = Report()
    report.call("version", client.get_server_version)
    report.call("has_before", client.has_collection, NAME)

    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("title", DataType.VARCHAR, max_length=64)
    schema.add_field("price", DataType.DOUBLE)
    schema.add_field("in_print", DataType.BOOL)
    schema.add_field("tags", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    report.call("create", client.create_collection, NAME, schema=schema, index_params=index)
    report.attempt("create_again", client.create_collection, NAME, schema=schema)
    report.call("has_after", client.has_collection, NAME)
    report.call("list", client.list_collections)
    report.call("describe", client.describe_collection, NAME)
    report.call("indexes", client.list_indexes, NAME)
    report.call("index", client.describe_index, NAME, "vector")
    report.call("load_state", client.get_load_state, NAME)

    report.call("insert", client.insert, NAME, rows(0, 20))
    report.call("insert_dynamic", client.insert, NAME, [rows(20, 1)[0] | {"extra": "dynamic"}])
    report.call("upsert", client.upsert, NAME, rows(3, 2))
    report.call("flush", client.flush, NAME)
    report.call("stats", client.get_collection_stats, NAME)

    near = [[0.5, 0.5, 0.25, -0.5], [1.9, -0.9, 0.25, -0.5]]
    report.call("search", client.search, NAME, near, limit=5, output_fields=["*"])
    report.call("search_filtered", client.search, NAME, near, limit=3, filter="price > 10")
    report.call("query", client.query, NAME, filter="id in [1, 2, 20]", output_fields=["*"])
    report.call("query_json", client.query, NAME, filter='tags["shelf"] == 1', limit=4)
    report.call("query_count", client.query, NAME, filter="", output_fields=["count(*)"])
    report.call("get", client.get, NAME, ids=[4, 5], output_fields=["title", "vector"])
    report.attempt("query_wrong", client.query, NAME, filter="no_such_field > (")
    report.attempt("search_wrong", client.search, NAME, [[0.5]], limit=1)
    report.attempt("search_nowhere", client.search, "e2e_nowhere", near, limit=1)

    report.call("delete_ids", client.delete, NAME, ids=[1, 2])
    report.call("delete_filter", client.delete, NAME, filter="price > 20")
    report.call("after_delete", client.query, NAME, filter="id >= 0", output_fields=["id"])
    report.call("release", client.release_collection, NAME)
    report.call("drop", client.drop_collection, NAME)
    report.call("has_at_end", client.has_collection, NAME)
    report.attempt("describe_dropped", client.describe_collection, NAME)
    client.close()
    report.print()


if __name__ == "__main__":
    main()
