"""Unmodified pymilvus, both versions, in both TLS modes."""

import json
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus, grpc_answer
from tests.e2e.tls import (
    DAY,
    TlsStack,
    client_certificate,
    new_authority,
    server_certificate,
    serving,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = ("UNAUTHENTICATED", "auth check failure, please check username and password are correct")
#: What pymilvus is given to give up in. It ends later than that when it is busy with itself.
TIMEOUT_SECONDS = 2.0
#: For those who are let in, on a slow machine.
PATIENCE = {"timeout": 15.0}
END_SECONDS = 15.0


def way(address: str, files: dict[str, str], **changes: Any) -> dict[str, Any]:
    common = {
        "uri": f"https://{address}",
        "token": "root:Milvus",
        "secure": True,
        "timeout": TIMEOUT_SECONDS,
    }
    return {k: v for k, v in (common | files | changes).items() if v is not None}


async def outcomes(pymilvus: Pymilvus, ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    report = await pymilvus.run("tls", ways=json.dumps(ways))
    assert report.pop("pymilvus").startswith(f"{pymilvus.major}.")
    slow = {k: v for k, v in report.items() if k.endswith("_seconds") and v > END_SECONDS}
    assert not slow
    return {name: result for name, result in report.items() if not name.endswith("_seconds")}


def assert_not_connected(results: dict[str, Any]) -> None:
    """No call was made: what failed is the connection itself."""
    for name, result in results.items():
        assert "error" in result, (name, result)
        assert "Fail connecting to server" in result["error"]["message"], (name, result)


async def test_one_way_tls_needs_the_right_ca_and_name(one_way: TlsStack, pymilvus: Pymilvus):
    right = one_way.ways()
    foreign = one_way.identity_directory / "foreign-ca.pem"
    foreign.write_bytes(new_authority().issued.certificate)
    results = await outcomes(
        pymilvus,
        {
            "right": way(one_way.address, right, **PATIENCE),
            "address_as_name": way(one_way.address, right, server_name=None, **PATIENCE),
            "wrong_ca": way(one_way.address, right, server_pem_path=str(foreign)),
            "wrong_name": way(one_way.address, right, server_name="milvus.example.com"),
            "plaintext": way(one_way.address, {}, uri=f"http://{one_way.address}", secure=None),
        },
    )

    for good in ("right_client", "right_orm", "address_as_name_client", "address_as_name_orm"):
        assert results.pop(good) == {"value": ["root"]}, good
    assert len(results) == 6
    assert_not_connected(results)


async def test_mutual_tls_needs_a_certificate_of_the_right_ca(mutual: TlsStack, pymilvus: Pymilvus):
    right, other = mutual.ways(), new_authority()
    foreign = mutual.identity_directory / "foreign-ca.pem"
    foreign.write_bytes(other.issued.certificate)
    new = client_certificate(mutual.authority)
    expired = client_certificate(mutual.authority, days=-1)
    early = client_certificate(mutual.authority, start=DAY)
    ways = {
        "right": right,
        "another_of_the_ca": right | mutual.client("another", new),
        "no_certificate": {"server_pem_path": right["ca_pem_path"], "server_name": "localhost"},
        "foreign_certificate": right | mutual.client("foreign", client_certificate(other)),
        "expired_certificate": right | mutual.client("expired", expired),
        "early_certificate": right | mutual.client("early", early),
        "servers_certificate": right
        | mutual.client("server", server_certificate(mutual.authority)),
        "wrong_key": right | {"client_key_path": str(mutual.identity_directory / "expired.key")},
        "wrong_ca": right | {"ca_pem_path": str(foreign)},
        "wrong_name": right | {"server_name": "milvus.example.com"},
    }
    good_ones = ("right", "another_of_the_ca")
    results = await outcomes(
        pymilvus,
        {
            name: way(mutual.address, files, **(PATIENCE if name in good_ones else {}))
            for name, files in ways.items()
        },
    )

    for good in good_ones:
        for kind in ("client", "orm"):
            assert results.pop(f"{good}_{kind}") == {"value": ["root"]}, good
    assert len(results) == 2 * 8
    assert_not_connected(results)


@pytest.mark.parametrize("mode", ["one_way", "mutual"])
async def test_a_password_is_still_needed_over_tls(
    mode: str, pymilvus: Pymilvus, request: pytest.FixtureRequest
):
    stack: TlsStack = request.getfixturevalue(mode)
    results = await outcomes(
        pymilvus,
        {
            "wrong": way(stack.address, stack.ways(), token="root:not-the-password", **PATIENCE),
            "none": way(stack.address, stack.ways(), token=None, **PATIENCE),
        },
    )

    assert grpc_answer(results["wrong_client"]) == REFUSED
    assert grpc_answer(results["wrong_orm"]) == REFUSED
    assert grpc_answer(results["none_client"])[0] == "UNAUTHENTICATED"
    assert grpc_answer(results["none_orm"])[0] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "flaw",
    [{"days": -1}, {"start": DAY}, {"names": ("milvus.example.com",)}],
    ids=["expired", "not yet valid", "of another name"],
)
async def test_a_server_certificate_with_a_flaw_is_refused_by_clients(
    one_way: TlsStack, pymilvus: Pymilvus, flaw: dict[str, Any]
):
    async with serving(one_way, server_certificate(one_way.authority, **flaw)):
        results = await outcomes(pymilvus, {"flawed": way(one_way.address, one_way.ways())})

    assert len(results) == 2
    assert_not_connected(results)


async def test_a_tls_client_on_a_plaintext_port_gets_an_end(
    stack: LocalStack, one_way: TlsStack, pymilvus: Pymilvus
):
    results = await outcomes(pymilvus, {"tls": way(stack.proxies[0].address, one_way.ways())})

    assert len(results) == 2
    assert_not_connected(results)
