"""Whether root is created in a store that looks empty, beside other stores in the same etcd."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from tests.support.credentials import hashed
from tests.support.etcd import running_etcd
from tests.support.etcd_administration import enable_authentication
from tests.support.logs import every_log_line
from tests.support.waiting import eventually
from vecguard import installations
from vecguard.cli.etcd_findings import _examine_root
from vecguard.cli.finding import Severity
from vecguard.cli.root_reset import reset_root
from vecguard.config import Settings
from vecguard.etcd import Delete, EtcdClient, Put
from vecguard.installations import Installation, named, survey
from vecguard.lifecycle import ShutdownSignal
from vecguard.milvus_layout import Keys, Record
from vecguard.observability.health import HealthReport
from vecguard.passwords import verify_password
from vecguard.root_coord import app
from vecguard.root_coord.errors import StandbyError
from vecguard.root_coord.health_checks import register_health_checks
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.role import Role
from vecguard.root_coord.role_collector import RoleCollector
from vecguard.secret import Secret


@pytest.fixture(scope="module")
def lone_etcd(tmp_path_factory):
    """An etcd whose keys are all this module's."""
    with running_etcd(tmp_path_factory.mktemp("etcd")) as process:
        yield process


@pytest.fixture
async def client(lone_etcd):
    async with EtcdClient([lone_etcd.endpoint]) as client:
        await client.txn([], [Delete(b"", prefix=True)])
        yield client


async def put(client, *keys):
    await client.txn([], [Put(key.encode(), b"{}") for key in keys])


async def put_users(client, prefix, *names):
    await put(client, *(f"{prefix}root-coord/credential/users/{name}" for name in names))


def found(installations):
    return {each.root: each.users for each in installations}


async def test_prefixes_that_differ_only_in_spelling_are_similar_and_the_rest_are_others(
    client, monkeypatch
):
    # A busy machine may need longer than the search of a starting root coord takes.
    monkeypatch.setattr(installations, "_MAX_SECONDS", 60.0)
    for prefix in (
        "/by-dev/meta/",
        "By-Dev/meta/",
        " by-dev /meta/",
        "by-dev//meta/",
        "bydev/meta/",
    ):
        await put_users(client, prefix, "root", "bob")
    await put_users(client, "", "root")
    await put_users(client, "/", "root")
    await put_users(client, "a/b/c/meta/", "root")
    await put_users(client, "by-dev/meta/", "bob")
    await put(client, "by-dev/meta/root-coord/database/1", "zzz", "registry/pods/default/a")
    seen = await survey(client, Keys.of("by-dev", "meta"))
    assert found(seen.similar) == {
        "/by-dev/meta": 2,
        "By-Dev/meta": 2,
        " by-dev /meta": 2,
        "by-dev//meta": 2,
    }
    assert found(seen.others) == {"bydev/meta": 2, "": 1, "/": 1, "a/b/c/meta": 1}
    assert seen.gap == ""


async def fill_directories(client, number, *, keys_each):
    for directory in range(number):
        await put(client, *(f"a{directory:04}/{key}" for key in range(keys_each)))


async def test_a_similar_prefix_is_found_whatever_else_etcd_holds(client, monkeypatch):
    # What is bounded here is the number of requests, however busy the machine is.
    monkeypatch.setattr(installations, "_MAX_SECONDS", 60.0)
    await fill_directories(client, 250, keys_each=60)
    for batch in range(20):
        await put(client, *(f"flat-{batch}-{number}" for number in range(100)))
    await put(client, "by-dev/other", "b", "by-de")
    for prefix in ("by-DEV/meta/", "////by-dev//meta/", "BY-DEV./ meta /"):
        await put_users(client, prefix, "root")
    seen = await survey(client, Keys.of("by-dev", "meta"))
    assert found(seen.similar) == {"by-DEV/meta": 1, "////by-dev//meta": 1, "BY-DEV./ meta ": 1}
    assert "too many keys" in seen.gap


async def test_the_search_for_other_installations_takes_few_requests(client, monkeypatch):
    monkeypatch.setattr(installations, "_MAX_SECONDS", 60.0)
    for batch in range(10):
        await put(client, *(f"aaa/flat/{batch}-{number}" for number in range(100)))
    await put_users(client, "zzz/meta/", "root")
    asked = 0
    ask = client.range

    async def counting(*arguments, **options):
        nonlocal asked
        asked += 1
        assert options.get("count_only") or (options["keys_only"] and options["limit"] <= 50)
        return await ask(*arguments, **options)

    monkeypatch.setattr(client, "range", counting)
    seen = await survey(client, Keys.of("by-dev", "meta"))
    assert found(seen.others) == {"zzz/meta": 1}
    assert seen.gap == ""
    assert asked < 50
    for batch in range(10):
        await put(client, *(f"aaa/{batch}-{number}/x" for number in range(100)))
    asked = 0
    seen = await survey(client, Keys.of("by-dev", "meta"))
    assert "too many keys" in seen.gap
    assert asked <= 220


async def test_a_key_that_cannot_be_asked_for_keeps_no_root_out(client):
    # With a name of 1 MB in the request twice, etcd refuses it.
    await put(client, f"other/{'n' * 1_050_000}/k")
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        assert await root_exists(client, Keys.of("by-dev", "meta"))
    (told,) = events(lines, "other_prefixes_not_all_seen")
    assert "etcd refuses to list keys" in told["reason"]


def test_a_message_about_prefixes_is_short_whatever_their_names():
    names = [Installation("n" * 1_000_000, 1)] * 1000
    assert len(named(names)) < 2000


@asynccontextmanager
async def standing(client, root_password=" a first password", **values):
    """A root coord that stands for election and prepares."""
    settings = Settings.model_validate(
        {"election": {"ttl": 1.0}, "authentication": {"bcryptCost": 4}, **values}
    )
    role = Role()
    with every_log_line() as lines:
        leading = asyncio.create_task(
            app._lead(
                settings,
                client,
                role,
                metrics=RootCoordMetrics(CollectorRegistry()),
                root_password=Secret(root_password),
                shutdown=ShutdownSignal(),
            )
        )
        try:
            yield role, lines
        finally:
            leading.cancel()
            await asyncio.wait([leading])
            role.release()


def events(lines, name):
    return [line for line in lines if line["event"] == name]


def activity(role):
    async def is_active():
        return role.active_term is not None

    return is_active


async def root_exists(client, keys):
    return bool((await client.range(keys.user("root").encode())).kvs)


async def test_the_first_term_creates_root_and_the_built_in_roles_before_it_serves(client):
    settings = {
        "etcd": {"rootPath": "new"},
        "builtinRoles": {"enable": True, "roles": '{"ours": {"privileges": []}}'},
    }
    async with standing(client, **settings) as (role, _):
        await eventually(activity(role))
        roles = (await role.active_term.role_store.list_roles()).value
        assert [each.name for each in roles] == ["admin", "ours", "public"]
        found = (await role.active_term.role_store.get_roles(["public"])).value
        assert len(found.roles[0].grants) == 3


async def test_root_is_not_created_beside_a_store_whose_prefix_is_spelled_otherwise(client):
    await put_users(client, "by-dev/meta/", "root", "bob")
    keys = Keys.of("/by-dev", "meta")
    settings = {"etcd": {"rootPath": "/by-dev"}}
    async with standing(client, **settings) as (role, lines):

        async def is_refused():
            return bool(role.refusal)

        await eventually(is_refused)
        with pytest.raises(
            StandbyError, match="this root coord cannot become active: root is not created"
        ):
            role.require()
        for words in ('"/by-dev/meta"', '"by-dev/meta" (2 users)', "rootCoord.allowSimilarPrefix"):
            assert words in role.refusal
        health = HealthReport()
        register_health_checks(role, health)
        failures = {check.name: check.message for check in health.evaluate().failures}
        assert failures == {
            "role": "this root coord cannot become active: see the check prefix",
            "prefix": role.refusal,
        }
        assert not await root_exists(client, keys)
        assert not events(lines, "elected"), "it does not stand for election"
        # As soon as the store has a root, its prefix is not doubted any more.
        await put(client, keys.user("root"))
        await eventually(activity(role))
        assert not role.refusal
    assert len(events(lines, "cannot_lead")) == 1
    assert not events(lines, "awaits_earlier_leases"), "no lease was granted before"


async def test_root_is_created_beside_a_similar_prefix_when_that_is_allowed(client):
    await put_users(client, "by-dev/meta/", "root")
    settings = {"etcd": {"rootPath": "/by-dev"}, "rootCoord": {"allowSimilarPrefix": True}}
    async with standing(client, **settings) as (role, lines):
        await eventually(activity(role))
        assert await root_exists(client, Keys.of("/by-dev", "meta"))
    (told,) = events(lines, "credentials_under_other_prefixes")
    assert told["others"] == '"by-dev/meta" (1 user)'
    assert any("begins or ends with a space" in line["event"] for line in lines)


async def test_another_installation_in_the_same_etcd_is_told_and_keeps_nobody_out(client):
    await put_users(client, "other/meta/", "root", "bob")
    async with standing(client) as (role, lines):
        await eventually(activity(role))
    (told,) = events(lines, "credentials_under_other_prefixes")
    assert told["others"] == '"other/meta" (2 users)'


async def test_a_role_of_etcd_that_reads_only_its_prefix_keeps_nobody_out(own_etcd):
    await enable_authentication(
        own_etcd.endpoint, root_password="r", user="v", password="p", user_prefix=b"by-dev/meta/"
    )
    async with (
        EtcdClient([own_etcd.endpoint], username="v", password=Secret("p")) as client,
        standing(client) as (role, lines),
    ):
        await eventually(activity(role))
    (told,) = events(lines, "other_prefixes_not_all_seen")
    assert "does not permit" in told["reason"]


KEYS = Keys.of("by-dev", "meta")


def root_check(role, name="root"):
    health = HealthReport()
    register_health_checks(role, health)
    return next(check for check in health.evaluate().checks if check.name == name)


def root_lost_metric(role):
    registry = CollectorRegistry()
    registry.register(RoleCollector(role))
    return registry.get_sample_value("vecguard_root_lost")


def test_a_standby_does_not_know_whether_root_is_lost():
    check = root_check(Role())
    assert check.healthy
    assert check.message == "only the active root coord knows"


async def says_that_root_is_lost(client, role, lines):
    """An active root coord without root: it says so and what to do, and serves the others."""
    assert not await root_exists(client, KEYS)
    check = root_check(role)
    assert not check.healthy
    assert not check.critical
    assert root_lost_metric(role) == 1
    assert "vecguard root reset --offline" in check.message
    (told,) = events(lines, "root_is_lost")
    assert (told["log_level"], told["error"]) == ("error", check.message)
    (finding,) = await _examine_root(client, KEYS)
    assert finding.severity is Severity.WRONG
    assert "vecguard root reset --offline" in finding.remedy


@pytest.mark.parametrize("others", [(), ("bob",)], ids=["no user left", "a user left"])
async def test_the_next_leader_makes_no_root_where_one_was_lost(client, others):
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        assert root_check(role).healthy
        assert events(lines, "root_created")
    await client.txn([], [Delete(KEYS.user("root").encode())])
    await put_users(client, "by-dev/meta/", *others)
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        await says_that_root_is_lost(client, role, lines)
        assert not events(lines, "root_created")


async def test_users_of_milvus_without_root_get_none(client):
    await put_users(client, "by-dev/meta/", "bob")
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        await says_that_root_is_lost(client, role, lines)


async def test_a_root_of_milvus_is_missed_when_it_is_gone(client):
    await put_users(client, "by-dev/meta/", "root")
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        assert root_check(role).healthy
    await client.txn([], [Delete(KEYS.user("root").encode())])
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        await says_that_root_is_lost(client, role, lines)


async def test_a_lost_root_keeps_no_root_coord_out_beside_a_similar_prefix(client):
    await put_users(client, "/by-dev/meta/", "root")
    await put_users(client, "by-dev/meta/", "bob")
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        await says_that_root_is_lost(client, role, lines)


async def test_the_active_root_coord_sees_that_root_is_lost_and_that_a_reset_brings_it_back(client):
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        await client.txn([], [Delete(KEYS.user("root").encode())])

        async def is_lost():
            return not root_check(role).healthy

        await eventually(is_lost)
        await says_that_root_is_lost(client, role, lines)
        assert (await reset_root(client, KEYS, hashed("found again"))).created

        async def is_back():
            return root_check(role).healthy

        await eventually(is_back)
        assert root_lost_metric(role) == 0
        stored = (await role.active_term.store.get("root")).value
        assert verify_password(Secret("found again"), stored.password)
        assert len(events(lines, "root_is_back")) == 1
    # The reset leaves a note of its own.
    await client.txn([], [Delete(KEYS.user("root").encode())])
    async with standing(client) as (role, lines):
        await eventually(activity(role))
        await says_that_root_is_lost(client, role, lines)


async def test_root_s_default_password_is_a_warning_until_it_is_changed_and_when_it_comes_back(
    client,
):
    async with standing(client, root_password="Milvus") as (role, lines):

        async def is_default():
            return not root_check(role, "root_password").healthy

        async def is_another():
            return "not the well-known" in root_check(role, "root_password").message

        assert root_check(role, "root_password").message == "only the active root coord knows"
        await eventually(is_default)
        assert not root_check(role, "root_password").critical
        # Our own write, and another program's.
        own = await role.active_term.credentials.update(
            "root",
            expected_revision=None,
            password=hashed("another password"),
            description=None,
            actor=None,
        )
        assert own.revision
        await eventually(is_another)
        await client.txn(
            [], [Put(KEYS.user("root").encode(), Record.new(hashed("Milvus"), "").encode())]
        )
        await eventually(is_default)
    assert len([line for line in lines if "well-known default" in line["event"]]) == 2


async def test_a_root_without_a_readable_password_does_not_have_the_default_one(client):
    await put_users(client, "by-dev/meta/", "root")
    async with standing(client) as (role, _):

        async def is_known():
            return "not the well-known" in root_check(role, "root_password").message

        await eventually(is_known)
