import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from structlog.testing import capture_logs

from tests.support.certificates import (
    DAY,
    Party,
    PemFiles,
    authority,
    issue,
    pem,
    server_pems,
)
from tests.support.waiting import until
from vecguard.observability.health import HealthReport
from vecguard.tls import reloading as module
from vecguard.tls.contexts import client_context, load, mutual_server_context, server_context
from vecguard.tls.material import TlsFiles, TlsMaterialError
from vecguard.tls.reloading import ReloadingContext
from vecguard.tls.report import TlsCollector, register_checks
from vecguard.tls.validity import WARN_BEFORE_SECONDS


class WallClock:
    def __init__(self):
        self.now = datetime.now(UTC).timestamp()

    def __call__(self):
        return self.now


@pytest.fixture
def wall_clock():
    return WallClock()


@pytest.fixture
def ca():
    return authority(days=400)


@pytest.fixture
def pems(tmp_path, ca):
    return server_pems(tmp_path / "files", issue(ca, days=100), ca)


async def warnings_of(tls):
    """The events that a service logs when it begins to follow the files."""
    with capture_logs() as logs:
        task = asyncio.create_task(tls.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return logs


def reloading(pems, wall_clock, **options):
    return ReloadingContext(
        pems.files(authorities=True),
        mutual_server_context,
        label="public",
        wall_clock=wall_clock,
        **options,
    )


def subject(tls):
    return tls.material.chain[0].subject.rfc4514_string()


def test_an_unusable_set_stops_the_start(pems, wall_clock):
    pems.put("own.key", b"")
    with pytest.raises(TlsMaterialError, match=r"tls\.serverKeyPath.*is empty"):
        reloading(pems, wall_clock)


def test_unchanged_files_are_left_alone(pems, wall_clock):
    tls = reloading(pems, wall_clock)
    before = tls.current()
    wall_clock.now += 10
    assert not tls.check()
    assert tls.current() is before
    assert (tls.reloads, tls.failures, tls.last_error) == (0, 0, None)


def test_a_file_rewritten_with_the_same_content_is_no_change(pems, wall_clock):
    tls = reloading(pems, wall_clock)
    pems.put("own.pem", (pems.directory / "own.pem").read_bytes())
    assert not tls.check()


def test_a_new_set_is_taken_up(pems, wall_clock, ca):
    tls = reloading(pems, wall_clock)
    before = tls.current()
    pems.put_identity(issue(ca, "renewed", days=200))
    wall_clock.now += 10
    with capture_logs() as logs:
        assert tls.check()
    assert tls.current() is not before
    assert subject(tls) == "CN=renewed"
    assert (tls.reloads, tls.failures, tls.last_error) == (1, 0, None)
    assert tls.expires_in(wall_clock.now) == pytest.approx(200 * DAY, abs=60)
    assert [(line["event"], line["label"]) for line in logs] == [("tls_reloaded", "public")]


def test_a_new_ca_is_taken_up(pems, wall_clock):
    tls = reloading(pems, wall_clock)
    pems.put_authorities(authority("New"))
    assert tls.check()
    assert [dict(each["subject"][0])["commonName"] for each in tls.current().get_ca_certs()] == [
        "New"
    ]


@pytest.mark.parametrize("name", ["own.pem", "own.key", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"", b"junk", b"-----BEGIN CERTIFICATE-----\nMII"])
def test_a_broken_set_is_refused_and_the_old_one_stays(pems, wall_clock, name, content):
    tls = reloading(pems, wall_clock)
    before = tls.current()
    (pems.directory / name).unlink()
    if content is not None:
        pems.put(name, content)
    with capture_logs() as logs:
        assert not tls.check()
    assert tls.current() is before
    assert (tls.reloads, tls.failures) == (0, 1)
    assert name in tls.last_error
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("tls_reload_refused", "error")
    assert name in line["error"]


def test_a_certificate_without_its_new_key_waits_for_it(pems, wall_clock, ca):
    tls = reloading(pems, wall_clock)
    renewed = issue(ca, "renewed")
    pems.put("own.pem", renewed.certificate)
    assert not tls.check()
    assert "does not match" in tls.last_error
    pems.put("own.key", renewed.key.reveal())
    assert tls.check()
    assert subject(tls) == "CN=renewed"
    assert tls.last_error is None


def test_the_same_broken_set_is_reported_once(pems, wall_clock):
    tls = reloading(pems, wall_clock)
    pems.put("own.key", b"junk")
    with capture_logs() as logs:
        tls.check()
        tls.check()
        assert (tls.failures, len(logs)) == (1, 1)
        assert tls.last_error is not None
        pems.put("own.key", b"other junk")
        tls.check()
    assert (tls.failures, len(logs)) == (2, 2)


def test_going_back_to_the_old_files_heals(pems, wall_clock):
    tls = reloading(pems, wall_clock)
    before, key = tls.current(), (pems.directory / "own.key").read_bytes()
    pems.put("own.key", b"junk")
    tls.check()
    pems.put("own.key", key)
    with capture_logs() as logs:
        assert not tls.check()
    assert tls.last_error is None
    assert tls.current() is before
    assert [line["event"] for line in logs] == ["tls_files_restored"]
    pems.put("own.key", b"junk")
    tls.check()
    assert tls.failures == 2


def test_files_that_are_restored_while_they_are_looked_at_are_no_new_set(
    pems, wall_clock, monkeypatch
):
    tls = reloading(pems, wall_clock)
    before, key = tls.current(), (pems.directory / "own.key").read_bytes()
    pems.put("own.key", b"junk")
    tls.check()

    def load_after_the_restoration(*arguments):
        pems.put("own.key", key)
        return load(*arguments)

    monkeypatch.setattr(module, "load", load_after_the_restoration)
    with capture_logs() as logs:
        assert not tls.check()
    assert [line["event"] for line in logs] == ["tls_files_restored"]
    assert tls.current() is before
    assert (tls.reloads, tls.last_error) == (0, None)


def test_the_exchange_of_kubernetes_links_is_seen(tmp_path, wall_clock, ca):
    volume = tmp_path / "volume"
    first = server_pems(volume / "..2026_01_01", issue(ca, "first"), ca)
    (volume / "..data").symlink_to("..2026_01_01")
    for name in ("own.pem", "own.key", "ca.pem"):
        (volume / name).symlink_to(f"..data/{name}")
    tls = reloading(PemFiles(volume), wall_clock)
    assert not tls.check()

    server_pems(volume / "..2026_02_02", issue(ca, "second"), ca)
    (volume / "..data_tmp").symlink_to("..2026_02_02")
    (volume / "..data_tmp").rename(volume / "..data")
    for path in first.directory.iterdir():
        path.unlink()

    assert tls.check()
    assert subject(tls) == "CN=second"


def test_an_end_in_sight_is_a_warning_once_a_day(tmp_path, wall_clock, ca):
    with capture_logs() as logs:
        pems = server_pems(tmp_path, issue(ca, days=31), ca)
        tls = reloading(pems, wall_clock)
        assert logs == []
        wall_clock.now += 31 * DAY - WARN_BEFORE_SECONDS
        tls.check()
        wall_clock.now += DAY - 1
        tls.check()
        assert [line["event"] for line in logs] == ["tls_expires_soon"]
        wall_clock.now += 1
        tls.check()
        assert len(logs) == 2
        assert logs[1]["days_left"] == 29.0
        pems.put_identity(issue(ca, days=100))
        tls.check()
        assert [line["event"] for line in logs[2:]] == ["tls_reloaded"]


def test_a_new_set_that_ends_soon_is_warned_of_at_once(tmp_path, wall_clock, ca):
    pems = server_pems(tmp_path, issue(ca, days=20), ca)
    tls = reloading(pems, wall_clock)
    pems.put_identity(issue(ca, days=25))
    with capture_logs() as logs:
        tls.check()
    assert [line["event"] for line in logs] == ["tls_reloaded", "tls_expires_soon"]


async def test_an_expired_certificate_starts_with_a_warning(tmp_path, wall_clock, ca):
    tls = reloading(server_pems(tmp_path, issue(ca, days=-2), ca), wall_clock)
    assert [line["event"] for line in await warnings_of(tls)] == ["tls_expired"]
    assert tls.expires_in(wall_clock.now) == pytest.approx(-2 * DAY, abs=60)


async def test_an_expired_certificate_beside_the_path_is_no_warning(tmp_path, wall_clock):
    old, root, inter, leaf = map(Party, ("old", "root", "inter", "leaf"))
    chain = (
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter),
        old.certifies(root, begins=-900.0, ends=-300.0),
    )
    pems = PemFiles(tmp_path)
    pems.put("own.pem", pem(*chain))
    pems.put("own.key", leaf.key_pem)
    health = HealthReport()
    with capture_logs() as logs:
        tls = ReloadingContext(pems.files(), server_context, label="public", wall_clock=wall_clock)
    assert logs == []
    assert tls.expires_in(wall_clock.now) == pytest.approx(100 * DAY, abs=60)
    register_checks([tls], health, wall_clock)
    (check,) = (await health.assess()).checks
    assert check.healthy
    assert check.message.startswith("leaf expires in 100.0 days")
    expiry = next(iter(TlsCollector([tls], wall_clock).collect())).samples
    assert [sample.value for sample in expiry] == [pytest.approx(100 * DAY, abs=60)]
    wall_clock.now += 101 * DAY
    (check,) = (await health.assess()).checks
    assert not check.healthy
    assert "leaf expired 1.0 days ago" in check.message


@pytest.mark.parametrize("serves_clients", [True, False])
async def test_a_key_that_clients_of_grpcio_cannot_use_is_a_warning(
    tmp_path, wall_clock, serves_clients
):
    root, leaf = Party("root"), Party("leaf", ed25519.Ed25519PrivateKey.generate())
    pems = PemFiles(tmp_path)
    pems.put("own.pem", pem(root.certifies(leaf, is_ca=False)))
    pems.put("own.key", leaf.key_pem)
    tls = ReloadingContext(
        pems.files(),
        server_context,
        label="public",
        wall_clock=wall_clock,
        serves_clients=serves_clients,
    )
    logs = await warnings_of(tls)
    assert [line["event"] for line in logs] == ["tls_key_unusable_by_clients"] * serves_clients
    assert all("Ed25519" in line["problem"] for line in logs)


async def test_a_certificate_of_the_future_starts_with_a_warning(tmp_path, wall_clock, ca):
    later = datetime.now(UTC) + timedelta(days=3)
    tls = reloading(server_pems(tmp_path, issue(ca, now=later), ca), wall_clock)
    assert [line["event"] for line in await warnings_of(tls)] == ["tls_not_yet_valid"]


def test_a_client_without_files_never_ends_and_never_changes(wall_clock):
    tls = ReloadingContext(TlsFiles(), client_context, label="backend", wall_clock=wall_clock)
    assert tls.expires_in(wall_clock.now) is None
    assert not tls.check()


async def test_the_loop_takes_up_a_new_set_and_ends_when_cancelled(pems, ca):
    tls = reloading(pems, time.time, interval_seconds=0.01)
    task = asyncio.create_task(tls.run())
    pems.put_identity(issue(ca, "renewed"))
    await until(lambda: tls.reloads == 1)
    pems.put("own.pem", b"junk")
    await until(lambda: tls.failures > 0)
    pems.put_identity(issue(ca, "again"))
    await until(lambda: tls.reloads == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert subject(tls) == "CN=again"


def test_the_live_context_fails_closed_when_it_is_used_natively(pems, wall_clock):
    tls = reloading(pems, wall_clock)
    assert tls.context.get_ca_certs() == []
    assert tls.context.verify_mode is tls.current().verify_mode
    pems.put_identity(issue(authority()))
    one_way = ReloadingContext(pems.files(), server_context, label="x", wall_clock=wall_clock)
    assert one_way.context.minimum_version is one_way.current().minimum_version
