import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.relay.upstreams.routing import Routes

ROUTES = Routes(
    table={b"/a.B/One": "exact", b"/a.B/*": "service", b"/c.D/Only": "only"},
    default="backend",
)


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        (b"/a.B/One", "exact"),
        (b"/a.B/Two", "service"),
        (b"/a.B/", "service"),
        (b"/c.D/Only", "only"),
        (b"/c.D/Other", "backend"),
        (b"/a.BB/One", "backend"),
        (b"/a.B", "backend"),
        (b"/A.B/One", "backend"),
        (b"//a.B/One", "backend"),
        (b"/x/a.B/One", "backend"),
        (b"/a.B/One/", "backend"),
        (b"/a.B/One?x=1", "service"),
        (b"/", "backend"),
    ],
)
def test_exact_methods_go_before_services_and_all_else_to_the_backend(path, upstream):
    assert ROUTES.find(path) == upstream
    assert ROUTES.find(path) == upstream  # also when it was asked for before


@given(st.binary(max_size=30))
def test_every_path_has_an_upstream(rest):
    assert ROUTES.find(b"/" + rest) in {"exact", "service", "only", "backend"}


def test_what_is_remembered_of_paths_has_an_end():
    routes = Routes(table={b"/a.B/*": "service"}, default="backend")
    for number in range(2000):
        assert routes.find(b"/a.B/%d" % number) == "service"
    assert routes.find(b"/a.C/" + b"x" * 10_000) == "backend"
    assert sum(map(len, routes._found)) < 20_000
