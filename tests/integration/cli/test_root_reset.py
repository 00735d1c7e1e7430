from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.stacks import running_stack
from tests.integration.cli.command import at_terminal, vecguard, vecguard_process, written
from tests.integration.cli.installation import ROOT_PASSWORD, Installation
from tests.support.waiting import eventually
from vecguard.cli.root_reset import ChangedMeanwhileError, reset_root, root_exists
from vecguard.etcd import Delete, EtcdClient, Put
from vecguard.installations import SimilarPrefixError
from vecguard.milvus_layout import Keys, Record
from vecguard.passwords import hash_password
from vecguard.secret import Secret

# The output of the stack is read on this loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = Keys.of("by-dev", "meta")
NEW = "found again at last"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    async with running_stack(tmp_path_factory.mktemp("reset")) as stack:
        yield stack


@pytest.fixture
def place(stack, tmp_path) -> Installation:
    return Installation(stack, tmp_path)


def reset(place: Installation, password: str, *more: str) -> tuple[object, ...]:
    file = written(place.directory, "new-root", password)
    return (
        *("root", "reset", "--offline", "--config", place.root_coord_config),
        *("--new-password-file", file, *more),
    )


async def test_a_reset_revokes_the_old_password_everywhere_and_is_told(place: Installation):
    assert await place.logs_in("root", ROOT_PASSWORD)
    ended = await vecguard_process(*reset(place, NEW, "--yes", "-o", "json"))
    assert ended.code == 0, ended.all
    assert ended.json["username"] == "root"
    assert ended.json["created"] is False
    revision = ended.json["revision"]
    assert "root_password_reset" in ended.err
    assert f'"revision": {revision}' in ended.err
    assert "operator" in ended.err

    async def old_is_refused():
        return not await place.logs_in("root", ROOT_PASSWORD)

    await eventually(old_is_refused)
    assert await place.logs_in("root", NEW)

    async def root_coord_has_told_it():
        return any(
            "changed_in_store" in line and str(revision) in line
            for line in place.stack.root_coord.recent_lines
        )

    await eventually(root_coord_has_told_it)
    place.require_hidden(ended, NEW)
    # Back to the first password, for the other tests.
    assert (await vecguard_process(*reset(place, ROOT_PASSWORD, "--yes"))).code == 0
    await eventually(lambda: place.logs_in("root", ROOT_PASSWORD))


async def test_a_reset_is_confirmed_at_the_terminal(place: Installation):
    no = await at_terminal(reset(place, NEW), [("[y/N]", "n")])
    assert no.code == 1
    assert "nothing was changed" in no.err
    assert "by-dev/meta/root-coord/credential/users/root" in no.err
    assert await place.logs_in("root", ROOT_PASSWORD)


async def test_without_a_terminal_a_reset_wants_yes(place: Installation):
    ended = await vecguard_process(*reset(place, NEW))
    assert ended.code == 2
    assert "--yes" in ended.err
    assert await place.logs_in("root", ROOT_PASSWORD)


async def test_a_reset_must_be_asked_for_with_offline(place: Installation):
    ended = await vecguard("root", "reset", "--config", place.root_coord_config)
    assert ended.code == 2
    assert "--offline" in ended.err
    assert "vecguard user passwd root" in ended.err


async def test_a_reset_keeps_the_rules_for_passwords(place: Installation):
    ended = await vecguard(*reset(place, "tiny", "--yes"))
    assert ended.code == 1
    assert "invalid password length" in ended.err


async def test_a_reset_without_etcd_is_exit_code_3_before_anything_is_asked(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("etcd: {endpoints: ['127.0.0.1:1'], requestTimeout: 500}\n")
    # There is no terminal: a question would be exit code 2.
    ended = await vecguard_process("root", "reset", "--offline", "--config", config)
    assert ended.code == 3
    assert "127.0.0.1:1" in ended.err


async def test_a_reset_is_refused_where_no_etcd_is_named(tmp_path):
    config = tmp_path / "proxy.yaml"
    config.write_text("backend: {address: '127.0.0.1:3'}\netcd: {rootPath: other}\n")
    file = written(tmp_path, "new", NEW)
    for more in ((), ("--config", config)):
        ended = await vecguard(
            *("root", "reset", "--offline", "--yes", "--new-password-file", file, *more)
        )
        assert ended.code == 2
        assert "etcd.endpoints is not set" in ended.err
        assert "--config FILE" in ended.err


async def test_the_environment_can_name_etcd():
    ended = await vecguard(
        *("root", "reset", "--offline"),
        VECGUARD__ETCD__ENDPOINTS="127.0.0.1:1",
        VECGUARD__ETCD__REQUESTTIMEOUT="500",
    )
    assert ended.code == 3


class OvertakenClient:
    """An etcd client whose user is overtaken between reading and writing."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self.range = client.range

    async def txn(self, compares, success, failure=()):
        await self._client.txn([], [Put(KEYS.user("root").encode(), b'{"description":"other"}')])
        return await self._client.txn(compares, success, failure)


async def test_a_reset_takes_no_password_with_nul(place: Installation):
    ended = await vecguard(*reset(place, "found\0again", "--yes"))
    assert ended.code == 2
    assert "(U+0000)" in ended.err
    assert await place.logs_in("root", ROOT_PASSWORD)


async def test_a_root_that_is_lost_is_named_by_status_and_doctor_until_it_is_reset(
    place: Installation,
):
    operations = ("-O", place.stack.root_coord.operations_address)
    async with EtcdClient([f"127.0.0.1:{place.stack.ports.etcd}"]) as client:
        await client.txn([], [Delete(KEYS.user("root").encode())])

    async def is_lost():
        return not await place.logs_in("root", ROOT_PASSWORD)

    await eventually(is_lost)
    status = await vecguard("status", *operations)
    assert "root: the record of root is missing" in " ".join(status.all.split())
    doctor = await vecguard("doctor", *operations, "--config", place.root_coord_config)
    assert doctor.code == 1
    assert "vecguard root reset --offline" in doctor.all
    assert (await vecguard(*reset(place, ROOT_PASSWORD, "--yes"))).code == 0
    await eventually(lambda: place.logs_in("root", ROOT_PASSWORD))
    assert "record of root" not in (await vecguard("status", *operations)).all


@pytest_asyncio.fixture(loop_scope="session")
async def client(own_etcd) -> AsyncIterator[EtcdClient]:
    async with EtcdClient([own_etcd.endpoint]) as client:
        yield client


async def record(client: EtcdClient) -> Record:
    return Record.decode((await client.range(KEYS.user("root").encode())).kvs[0].value)


async def test_a_reset_that_is_overtaken_writes_nothing(client: EtcdClient):
    password = hash_password(Secret(NEW), 4)
    await reset_root(client, KEYS, password)
    with pytest.raises(ChangedMeanwhileError):
        await reset_root(OvertakenClient(client), KEYS, hash_password(Secret("other"), 4))
    assert (await record(client)).fields == {"description": "other"}


async def test_a_reset_makes_a_root_that_is_missing(client: EtcdClient):
    password = hash_password(Secret(NEW), 4)
    assert not await root_exists(client, KEYS, allow_similar_prefix=False)
    done = await reset_root(client, KEYS, password)
    assert done.created
    assert (await record(client)).password == password
    assert await root_exists(client, KEYS, allow_similar_prefix=False)


async def test_a_reset_makes_no_root_beside_a_prefix_that_is_spelled_otherwise(client: EtcdClient):
    password = hash_password(Secret(NEW), 4)
    await reset_root(client, KEYS, password)
    misspelled = Keys.of("/by-dev", "meta")
    with pytest.raises(SimilarPrefixError, match='"by-dev/meta" \\(1 user\\)'):
        await root_exists(client, misspelled, allow_similar_prefix=False)
    assert not await root_exists(client, misspelled, allow_similar_prefix=True)


async def test_a_reset_mends_a_record_that_cannot_be_read(client: EtcdClient):
    await client.txn([], [Put(KEYS.user("root").encode(), b"not json")])
    password = hash_password(Secret(NEW), 4)
    assert not (await reset_root(client, KEYS, password)).created
    assert (await record(client)).password == password


async def test_a_reset_keeps_the_rest_of_the_record(client: EtcdClient):
    await client.txn(
        [], [Put(KEYS.user("root").encode(), b'{"description":"boss","sha256_password":"x"}')]
    )
    await reset_root(client, KEYS, hash_password(Secret(NEW), 4))
    fields = (await record(client)).fields
    assert fields["description"] == "boss"
    assert "sha256_password" not in fields
