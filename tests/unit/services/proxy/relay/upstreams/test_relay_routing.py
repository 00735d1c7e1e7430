import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.relay.upstreams.routing import Routes
from shared.errors import UnsupportedError

ROUTES = Routes(
    table={b"/a.B/One": "exact", b"/a.B/*": "service", b"/c.D/Only": "only"},
    unsupported={b"/a.B/Gone": "gone for good"},
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


def test_an_unsupported_method_reaches_no_upstream():
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="gone for good") as caught:
            ROUTES.find(b"/a.B/Gone")
    assert caught.value.status is Status.UNIMPLEMENTED


@given(st.binary(max_size=30))
def test_every_path_has_an_upstream(rest):
    assert ROUTES.find(b"/" + rest) in {"exact", "service", "only", "backend"}


def test_what_is_remembered_of_paths_has_an_end():
    routes = Routes(table={b"/a.B/*": "service"}, unsupported={}, default="backend")
    for number in range(2000):
        assert routes.find(b"/a.B/%d" % number) == "service"
    assert routes.find(b"/a.C/" + b"x" * 10_000) == "backend"
    assert sum(map(len, routes._found)) < 20_000
