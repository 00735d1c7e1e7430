"""Which keys grpcio (BoringSSL, as under pymilvus) can use, beside what we say about them."""

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from tests.integration.tls.endpoints import server
from tests.integration.tls.test_grpc import grpc_server, is_accepted
from tests.support.certificates import Party, PemFiles, pem
from vecguard.tls.grpcio import key_kind, unusable_key

KEYS = {
    "EC P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "EC P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EC P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EC secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "EC brainpoolP256r1": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


async def connects(directory, chain, leaf, root, client=None):
    """Whether grpcio connects to a server with this chain, with a client's certificate if any."""
    own = root.certifies(root)
    pems = PemFiles(directory)
    pems.put("own.pem", pem(*chain))
    pems.put("own.key", leaf.key_pem)
    pems.put("ca.pem", pem(own))
    credentials = grpc.ssl_channel_credentials(pem(own), *(client or (None, None)))
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_retries", 0)]
    async with (
        grpc_server(server(pems, mutual=client is not None)) as port,
        grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel,
    ):
        return await is_accepted(channel)


@pytest.mark.parametrize("kind", KEYS)
async def test_grpcio_connects_to_a_server_whose_key_we_do_not_warn_of(tmp_path, kind):
    root, leaf = Party("root"), Party("leaf", KEYS[kind]())
    chain = (root.certifies(leaf, is_ca=False),)
    assert key_kind(chain[0]) == kind
    assert await connects(tmp_path, chain, leaf, root) is (
        unusable_key(chain, is_server=True) is None
    )


@pytest.mark.parametrize("kind", KEYS)
async def test_grpcio_verifies_the_keys_of_issuers_that_we_do_not_warn_of(tmp_path, kind):
    root, inter, leaf = Party("root"), Party("inter", KEYS[kind]()), Party("leaf")
    chain = (inter.certifies(leaf, is_ca=False), root.certifies(inter))
    assert await connects(tmp_path, chain, leaf, root) is (
        unusable_key(chain, is_server=True) is None
    )


@pytest.mark.parametrize("kind", KEYS)
async def test_grpcio_shows_client_certificates_that_we_do_not_warn_of(tmp_path, kind):
    root, leaf, user = Party("root"), Party("leaf"), Party("user", KEYS[kind]())
    shown = root.certifies(user, is_ca=False)
    chain = (root.certifies(leaf, is_ca=False),)
    assert await connects(tmp_path, chain, leaf, root, (user.key_pem, pem(shown))) is (
        unusable_key((shown,), is_server=False) is None
    )
