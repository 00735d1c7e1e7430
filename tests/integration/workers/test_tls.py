"""Renewed certificates reach every worker."""

import asyncio
import ssl

import pytest

from tests.e2e.tls import WATCH_FILES, new_authority, server_certificate, write_identity
from tests.support.waiting import eventually
from tests.support.worker_processes import served_by

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def shown(workers):
    """The certificate that each worker shows to new clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    found = {}
    for _ in range(100):
        _, writer = await asyncio.open_connection("127.0.0.1", workers.port, ssl=context)
        try:
            client = writer.get_extra_info("sockname")[1]
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            found |= {
                pid: certificate for pid in workers.pids if client in served_by(pid, workers.port)
            }
        finally:
            writer.transport.abort()
        if len(found) == len(workers.pids):
            break
    return found


def written(directory, authority):
    issued = server_certificate(authority)
    write_identity(directory, "server", issued)
    return ssl.PEM_cert_to_DER_cert(issued.certificate.decode())


async def test_a_renewed_certificate_is_shown_by_every_worker(start_workers, tmp_path):
    authority = new_authority()
    first = written(tmp_path, authority)
    settings = {
        "common": {"security": {"tlsMode": 1}},
        "tls": WATCH_FILES["tls"]
        | {
            "serverPemPath": str(tmp_path / "server.pem"),
            "serverKeyPath": str(tmp_path / "server.key"),
        },
    }
    async with start_workers(settings) as workers:
        before = await shown(workers)
        assert set(before.values()) == {first}
        assert len(before) == 3

        second = written(tmp_path, authority)

        async def all_show_the_second():
            return await shown(workers) == dict.fromkeys(before, second)

        await eventually(all_show_the_second)
