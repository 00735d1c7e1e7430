import pytest

from vecguard.addresses import Address
from vecguard.cli.connection import Connection
from vecguard.cli.exit_codes import UsageError
from vecguard.cli.given_address import GivenAddress, read_address
from vecguard.cli.operations import addresses_of


def read(text):
    return read_address(text, option="--address", default_port=19530)


@pytest.mark.parametrize(
    ("text", "host", "port", "tls"),
    [
        ("localhost:1234", "localhost", 1234, None),
        ("localhost", "localhost", 19530, None),
        ("10.0.0.5", "10.0.0.5", 19530, None),
        ("http://localhost:19531", "localhost", 19531, False),
        ("http://localhost:19531/", "localhost", 19531, False),
        ("HTTP://localhost", "localhost", 19530, False),
        ("https://milvus.example.com:19530", "milvus.example.com", 19530, True),
        ("https://milvus.example.com", "milvus.example.com", 443, True),
        ("tcp://db:1", "db", 1, None),
        ("[::1]:19531", "::1", 19531, None),
        ("[::1]", "::1", 19530, None),
        ("http://[::1]:19531", "::1", 19531, False),
    ],
)
def test_an_address_is_read_as_people_have_it(text, host, port, tls):
    assert read(text) == GivenAddress(Address(host, port), tls)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":1", "a b", "a,b:1", "host:", "host:x", "host:0", "::1", "::1:19530", "[::1"),
        *(
            "ftp://host:1",
            "http://",
            "http://host:1/db",
            "http://host:1?token=x",
            "http://http://h",
        ),
    ],
)
def test_another_text_is_refused_with_the_option_and_a_form_that_is_taken(text):
    with pytest.raises(UsageError, match=r"^--address: ") as caught:
        read(text)
    assert "token" not in caught.value.message


@pytest.mark.parametrize("text", ["http://root:S3cret@host:1", "root:S3cret@host:1", "S3cret@h"])
def test_a_password_in_an_address_is_refused_and_not_shown(text):
    with pytest.raises(UsageError, match="--password-file") as caught:
        read(text)
    assert "S3cret" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        addresses_of([text])
    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["host:1?token=root:S3cret", "root:S3cret", "root:S3cret://host", "http://root:S3cret"]
)
def test_a_text_that_is_not_an_address_is_not_shown(text):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert "S3cret" not in caught.value.message


def test_https_asks_for_tls():
    assert Connection(address="https://host:1").is_encrypted
    assert Connection(address="host:1", tls=True).is_encrypted
    assert not Connection(address="http://host:1").is_encrypted
    assert not Connection(address="host:1").is_encrypted
    assert Connection(address="https://host:1").peer == "host:1"
    with pytest.raises(UsageError, match=r"http:// means no TLS.*say https://"):
        _ = Connection(address="http://host:1", server_name="x").is_encrypted


def test_an_operations_port_is_read_likewise_and_has_no_tls():
    assert addresses_of(["http://a:1/", "b", "[::1]"]) == (
        *(Address("a", 1), Address("b", 9091), Address("::1", 9091)),
    )
    with pytest.raises(UsageError, match="do not speak TLS"):
        addresses_of(["https://a:1"])
