import io
import json

from deploy.local.console import Console, plain_audit_line, plain_etcd_line


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


def test_an_audit_line_becomes_a_line_for_people():
    record = {
        "timestamp": "2026-01-01T00:00:00Z",
        "event": "login_refused",
        "service": "proxy",
        "pid": 7,
        "user": "al\x1b[31mice",
        "address": None,
        "reason": "wrong_credentials",
        "count": 2,
        "since": "2026-01-01T00:00:00Z",
    }

    (line,) = shown(("proxy", json.dumps(record)))
    assert line.startswith(
        'proxy      | audit login_refused user="al\\u001b[31mice" reason="wrong_'
    )
    assert line.endswith('credentials" count=2')


def test_what_is_no_line_of_the_audit_log_stays_as_it_is():
    for line in ("info listening", "[1]", '{"event": "x"}', '{"timestamp": 1}', ""):
        assert plain_audit_line(line) == line


def test_a_banner_has_no_frame_that_a_copy_would_take_along():
    out = io.StringIO()
    Console(out, ["proxy"], coloured=False).banner(["ready", "", "print(1)"])
    assert out.getvalue() == "\nready\n\nprint(1)\n\n"
    out = io.StringIO()
    Console(out, ["proxy"], coloured=True).banner(["ready", "print(1)"])
    assert out.getvalue() == "\n\x1b[1mready\x1b[0m\nprint(1)\n\n"


def test_of_refused_connections_to_etcd_only_those_with_a_reason_are_shown():
    refused = '{"level":"warn","msg":"rejected connection","remote-addr":"127.0.0.1:1","error":'

    assert shown(("etcd", refused + '"EOF"}')) == []
    assert len(shown(("etcd", refused + '"tls: bad certificate"}'))) == 1
