"""All clients behind one address, as behind a balancer, and a guesser is one of them."""

import grpc
import pytest

from tests.integration.authentication.deployment import authorization, running_deployment
from tests.support.credentials import encoded
from tests.support.guessing import at_fresh_names, at_names, guessing
from tests.support.metrics import scrape
from tests.support.waiting import eventually
from vecguard.generated.milvus.proto import milvus as pb

_PASSWORD, _NEW = "right-123", "another-123"
_ROOT = authorization("root", "Milvus")
pytestmark = pytest.mark.alone

# More than an address may fail with by one bucket: each may fail 20 times.
_GUESSED = ("root", "victim", *(f"absent{number}" for number in range(6)))
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
# Guesses and the proxy share the cores of this machine.
_SECONDS, _VERIFIER_TIMEOUT = 50.0, 60.0


def _settings(*, limits):
    return {
        "authentication": {
            "bcryptCost": 8,
            "verifierTimeout": _VERIFIER_TIMEOUT,
            "loginLimits": {"enabled": limits},
        }
    }


async def _create(client, username):
    request = pb.CreateCredentialRequest(username=username, password=encoded(_PASSWORD))
    assert (await client.account("CreateCredential", request, _ROOT)).code == 0


async def _logs_in(client, username, password):
    answer = await client.health(authorization(username, password), timeout=_SECONDS)
    assert answer.status is grpc.StatusCode.OK, answer.text


async def _change(client, username, *, old=""):
    request = pb.UpdateCredentialRequest(
        username=username, old_password=encoded(old), new_password=encoded(_NEW)
    )
    return await client.account("UpdateCredential", request, _ROOT)


@pytest.mark.parametrize("limits", [True, False], ids=["limits on", "limits off"])
async def test_guesses_do_not_keep_out_other_users_behind_their_address(tmp_path, limits):
    settings = _settings(limits=limits)
    async with running_deployment(tmp_path, settings) as deployment, deployment.client() as client:
        users = [f"user{number}" for number in range(5)]
        for username in ("victim", "changed", "reset", *users):
            await _create(client, username)
        async with guessing(deployment.address, at_names(*_GUESSED)) as guessers:

            async def the_line_was_full():
                return guessers.statuses[_EXHAUSTED] > 800

            async def the_address_has_used_up_its_failures():
                metrics = await scrape(deployment.stack.proxies[0].operations_address)
                return metrics.value("vecguard_login_limit_hits_total", limit="address") > 0

            await eventually(the_line_was_full, 60.0)
            await _logs_in(client, users[0], _PASSWORD)
            if limits:
                await eventually(the_address_has_used_up_its_failures, 60.0)
            for username in users[1:]:
                await _logs_in(client, username, _PASSWORD)
            refused = guessers.statuses[_EXHAUSTED]
            # With an old password that this proxy has not seen, and without.
            for username, old in (("changed", _PASSWORD), ("reset", "")):
                answer = await _change(client, username, old=old)
                assert (answer.status, answer.code) == (grpc.StatusCode.OK, 0), answer.text
                await _logs_in(client, username, _NEW)

            async def guesses_go_on():
                return guessers.statuses[_EXHAUSTED] > refused

            await eventually(guesses_go_on)


async def test_guesses_at_fresh_names_do_not_stop_root_from_changing_passwords(tmp_path):
    settings = _settings(limits=False)
    async with running_deployment(tmp_path, settings) as deployment, deployment.client() as client:
        await _create(client, "changed")
        async with guessing(deployment.address, at_fresh_names()) as guessers:

            async def the_line_is_full():
                return guessers.statuses[_EXHAUSTED] > 800

            await eventually(the_line_is_full)
            answer = await _change(client, "changed", old=_PASSWORD)
            assert (answer.status, answer.code) == (grpc.StatusCode.OK, 0), answer.text
