"""Writes the banner that a started local stack prints."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local.certificates import SERVER_NAME, LocalCertificates
from deploy.local.stack import CHECKOUT, LocalStack
from vecguard.config.security import TlsMode

_EVERYWHERE = {"0.0.0.0", "::"}
_ENCRYPTION = {
    TlsMode.SERVER: "TLS, mode 1: clients verify the server",
    TlsMode.MUTUAL: "TLS, mode 2: clients show a certificate too",
}


def greeting(stack: LocalStack) -> list[str]:
    """Returns the lines of the banner; the first is its heading."""
    database = (stack.backend_data,) if stack.backend_data_is_given else ()
    address = stack.proxies[0].address
    reach = "every interface" if stack.listen in _EVERYWHERE else stack.listen
    return [
        f"Vecguard is ready at {address}",
        "",
        "user              root",
        "initial password  Milvus (unless you changed it)",
        f"listening on      {reach}",
        *(() if stack.certificates is None else _encryption(stack.certificates)),
        *_pages(stack),
        f"state             {stack.data_dir}",
        *(f"database          {each} (served in place)" for each in database),
        "",
        "To see what runs and what is wrong:",
        _status_command(stack),
        "",
        "If root's password is lost:",
        _reset_command(stack),
        "",
        f"To try it, in {_shown(Path(sys.executable))}:",
        "",
        "from pymilvus import MilvusClient",
        *_client(address, stack.certificates),
        "",
        "Ctrl-C stops everything.",
    ]


def _pages(stack: LocalStack) -> Iterator[str]:
    """Yields the pages of the first proxy and of each root coord, which link health and metrics."""
    heading = "status pages"
    for process in (stack.proxies[0], *stack.root_coords):
        yield f"{heading:18}http://{process.operations_address}/ ({process.name})"
        heading = ""


def _status_command(stack: LocalStack) -> str:
    """Returns a status command with every operations port; its default is only the usual one."""
    processes = (*stack.proxies, *stack.root_coords)
    options = (f"-O {each.operations_address}" for each in processes)
    return " ".join([f"{_command()} status", *options])


def _reset_command(stack: LocalStack) -> str:
    """Returns a reset command with the configuration that names this stack's etcd."""
    return f"{_command()} root reset --offline --config {_shown(stack.root_coord_configuration)}"


def _command() -> str:
    return _shown(Path(sys.executable).with_name("vecguard"))


def _shown(path: Path) -> str:
    """Returns the path as it is typed in the checkout, where `make run` is started."""
    return shlex.quote(str(path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path))


def _encryption(certificates: LocalCertificates) -> Iterator[str]:
    yield f"encryption        {_ENCRYPTION[certificates.mode]}"
    yield "                  Milvus Lite cannot speak TLS and is reached on loopback only"
    yield f"certificates      {certificates.directory}"


def _client(address: str, certificates: LocalCertificates | None) -> Iterator[str]:
    """Yields example code that makes a client and uses it; short enough for a terminal."""
    if certificates is None:
        yield f'client = MilvusClient("http://{address}", token="root:Milvus")'
        yield 'client.has_collection("books") or client.create_collection("books", dimension=3)'
        yield 'client.load_collection("books")'
        yield 'client.upsert("books", [{"id": 1, "vector": [0.1, 0.2, 0.3]}])'
        yield 'print(client.search("books", data=[[0.1, 0.2, 0.3]]))'
        return
    yield f"certs = {json.dumps(str(certificates.directory))}"
    yield "client = MilvusClient("
    yield f'    "https://{address}", token="root:Milvus", secure=True,'
    if certificates.mode is TlsMode.MUTUAL:
        yield f'    server_name="{SERVER_NAME}", ca_pem_path=f"{{certs}}/ca.pem",'
        yield '    client_pem_path=f"{certs}/client.pem",'
        yield '    client_key_path=f"{certs}/client.key",'
    else:
        yield f'    server_name="{SERVER_NAME}", server_pem_path=f"{{certs}}/ca.pem",'
    yield ")"
    yield "print(client.list_users())"
