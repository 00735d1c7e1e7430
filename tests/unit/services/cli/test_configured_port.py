import asyncio
from datetime import UTC, datetime

import pytest

from vecguard.cli.configured_port import examine_configured_port, with_server_of
from vecguard.cli.connection import Connection
from vecguard.cli.finding import Severity
from vecguard.config import load_settings
from vecguard.tls.certificate_set import SetRequest, make_set, write_files
from vecguard.tls.contexts import load, server_context
from vecguard.tls.material import PemFile, TlsFiles

MODE = "VECGUARD__COMMON__SECURITY__TLSMODE"


@pytest.fixture
def certs(tmp_path):
    names = SetRequest(server_names=("milvus.example.com", "10.0.0.5"))
    write_files(tmp_path, make_set(names, datetime.now(UTC)))
    return tmp_path


def settings_of(certs, mode):
    return load_settings(
        None,
        {
            MODE: str(mode),
            "VECGUARD__TLS__SERVERPEMPATH": str(certs / "server.pem"),
            "VECGUARD__TLS__SERVERKEYPATH": str(certs / "server.key"),
            "VECGUARD__TLS__CAPEMPATH": str(certs / "ca.pem"),
        },
    )


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("localhost:19530", "milvus.example.com"),
        ("milvus.example.com:19530", None),
        ("10.0.0.5:19530", None),
    ],
)
def test_the_server_of_the_file_is_trusted_and_its_name_expected(certs, address, name):
    found = with_server_of(Connection(address=address), settings_of(certs, 1))
    assert found.is_encrypted
    assert (found.ca, found.server_name) == (certs / "server.pem", name)
    assert found.context() is not None


def test_a_file_that_cannot_be_read_is_left_to_the_look_at_files(certs):
    (certs / "server.pem").write_text("junk")
    found = with_server_of(Connection(), settings_of(certs, 1))
    assert (found.tls, found.ca) == (True, None)


async def test_where_clients_need_a_certificate_it_says_how_to_give_one(certs):
    (note,) = await examine_configured_port(Connection(), settings_of(certs, 2))
    assert note.severity is Severity.NOTE
    assert "--cert and --key" in note.remedy


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_what_the_address_says_counts(certs, address):
    (found,) = await examine_configured_port(Connection(address=address), settings_of(certs, 2))
    assert found.severity is Severity.WRONG
    assert "Connection refused" in found.cause


async def test_a_server_with_these_files_is_accepted(certs):
    files = TlsFiles(PemFile(certs / "server.pem", "-"), PemFile(certs / "server.key", "-"))
    _, context = load(files, server_context)
    accepted = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with accepted as server:
        port = server.sockets[0].getsockname()[1]
        found = with_server_of(Connection(address=f"127.0.0.1:{port}"), settings_of(certs, 1))
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=found.context(), server_hostname=found.server_name
        )
        assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "vecguard"),),)
        writer.transport.abort()
