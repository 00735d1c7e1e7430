import io

from deploy.local.console import Console, boxed, plain_etcd_line

FRAME = ("+", "+", "+", "+", "-", "|")


def shown(*lines: tuple[str, str], coloured: bool = False, verbose: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(
        out, ["etcd", "backend", "root-coord", "proxy"], coloured=coloured, verbose=verbose
    )
    for name, line in lines:
        console.line(name, line)
    return out.getvalue().splitlines()


def test_names_are_aligned():
    lines = shown(("root-coord", "a"), ("proxy", "b"))

    assert lines == ["root-coord | a", "proxy      | b"]


def test_each_process_has_its_own_colour():
    first, second = shown(("root-coord", "a"), ("proxy", "b"), coloured=True)

    assert first.startswith("\x1b[")
    assert second.startswith("\x1b[")
    assert first[:5] != second[:5]
    assert first.endswith("\x1b[0m a")


def test_chatter_is_shown_only_when_asked_for():
    chatter = ("backend", "MilvusLite gRPC server listening on 127.0.0.1:1")

    assert shown(chatter) == []
    assert len(shown(chatter, verbose=True)) == 1


def test_warnings_of_the_backend_are_always_shown():
    assert shown(("backend", "index rebuild failed")) == ["backend    | index rebuild failed"]


def test_etcd_json_becomes_a_line_for_people():
    line = (
        '{"level":"warn","ts":"2026-01-01T00:00:00Z","caller":"a/b.go:1",'
        '"msg":"slow fdatasync","took":"1.2s"}'
    )

    assert plain_etcd_line(line) == "warn slow fdatasync took=1.2s"


def test_what_is_no_json_of_etcd_stays_as_it_is():
    for line in ("panic: no space", "[1, 2]", '"text"', "{}", ""):
        assert plain_etcd_line(line) == line


def test_a_box_is_as_wide_as_its_widest_line():
    rows = boxed(["title", "a longer line"], FRAME, bold=False)

    assert {len(row) for row in rows} == {len("a longer line") + 6}
    assert rows[2] == "|  title          |"


def test_a_terminal_without_line_drawing_gets_a_plain_box():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")

    Console(out, ["proxy"], coloured=False).banner(["ready"])

    assert raw.getvalue().decode().splitlines()[0] == "+---------+"


def test_of_refused_connections_to_etcd_only_those_with_a_reason_are_shown():
    refused = '{"level":"warn","msg":"rejected connection","remote-addr":"127.0.0.1:1","error":'

    assert shown(("etcd", refused + '"EOF"}')) == []
    assert len(shown(("etcd", refused + '"tls: bad certificate"}'))) == 1
