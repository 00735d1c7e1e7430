import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from structlog.testing import capture_logs

from tests.support.waiting import until
from tests.unit.shared.tls.paper import (
    DAY,
    Paper,
    Party,
    authority,
    issue,
    pem,
    server_paper,
)
from vecguard.observability.health import HealthReport
from vecguard.tls import reloading as module
from vecguard.tls.contexts import client_context, load, mutual_server_context, server_context
from vecguard.tls.material import TlsFiles, TlsMaterialError
from vecguard.tls.reloading import ReloadingContext
from vecguard.tls.report import TlsCollector, register_checks
from vecguard.tls.validity import WARN_BEFORE_SECONDS


class Wall:
    def __init__(self):
        self.now = datetime.now(UTC).timestamp()

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def ca():
    return authority(days=400)


@pytest.fixture
def paper(tmp_path, ca):
    return server_paper(tmp_path / "files", issue(ca, days=100), ca)


async def warnings_of(tls):
    """The events that a service logs when it begins to follow the files."""
    with capture_logs() as logs:
        task = asyncio.create_task(tls.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return logs


def reloading(paper, wall, **options):
    return ReloadingContext(
        paper.files(authorities=True),
        mutual_server_context,
        label="public",
        wall_clock=wall,
        **options,
    )


def subject(tls):
    return tls.material.chain[0].subject.rfc4514_string()


def test_an_unusable_set_stops_the_start(paper, wall):
    paper.put("own.key", b"")
    with pytest.raises(TlsMaterialError, match=r"tls\.serverKeyPath.*is empty"):
        reloading(paper, wall)


def test_unchanged_files_are_left_alone(paper, wall):
    tls = reloading(paper, wall)
    before = tls.current()
    wall.now += 10
    assert not tls.check()
    assert tls.current() is before
    assert (tls.reloads, tls.failures, tls.last_error) == (0, 0, None)
    assert tls.checked_at == wall.now
    assert tls.loaded_at == wall.now - 10


def test_a_file_rewritten_with_the_same_content_is_no_change(paper, wall):
    tls = reloading(paper, wall)
    paper.put("own.pem", (paper.directory / "own.pem").read_bytes())
    assert not tls.check()


def test_a_new_set_is_taken_up(paper, wall, ca):
    tls = reloading(paper, wall)
    before = tls.current()
    paper.put_identity(issue(ca, "renewed", days=200))
    wall.now += 10
    with capture_logs() as logs:
        assert tls.check()
    assert tls.current() is not before
    assert subject(tls) == "CN=renewed"
    assert (tls.reloads, tls.failures, tls.last_error) == (1, 0, None)
    assert tls.loaded_at == wall.now
    assert tls.expires_in(wall.now) == pytest.approx(200 * DAY, abs=60)
    assert [(line["event"], line["label"]) for line in logs] == [("tls_reloaded", "public")]


def test_a_new_ca_is_taken_up(paper, wall):
    tls = reloading(paper, wall)
    paper.put_authorities(authority("New"))
    assert tls.check()
    assert [dict(each["subject"][0])["commonName"] for each in tls.current().get_ca_certs()] == [
        "New"
    ]


@pytest.mark.parametrize("name", ["own.pem", "own.key", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"", b"junk", b"-----BEGIN CERTIFICATE-----\nMII"])
def test_a_broken_set_is_refused_and_the_old_one_stays(paper, wall, name, content):
    tls = reloading(paper, wall)
    before = tls.current()
    (paper.directory / name).unlink()
    if content is not None:
        paper.put(name, content)
    with capture_logs() as logs:
        assert not tls.check()
    assert tls.current() is before
    assert (tls.reloads, tls.failures) == (0, 1)
    assert name in tls.last_error
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("tls_reload_refused", "error")
    assert name in line["error"]


def test_a_certificate_without_its_new_key_waits_for_it(paper, wall, ca):
    tls = reloading(paper, wall)
    renewed = issue(ca, "renewed")
    paper.put("own.pem", renewed.certificate)
    assert not tls.check()
    assert "does not match" in tls.last_error
    paper.put("own.key", renewed.key.reveal())
    assert tls.check()
    assert subject(tls) == "CN=renewed"
    assert tls.last_error is None


def test_the_same_broken_set_is_reported_once(paper, wall):
    tls = reloading(paper, wall)
    paper.put("own.key", b"junk")
    with capture_logs() as logs:
        tls.check()
        tls.check()
        assert (tls.failures, len(logs)) == (1, 1)
        assert tls.last_error is not None
        paper.put("own.key", b"other junk")
        tls.check()
    assert (tls.failures, len(logs)) == (2, 2)


def test_going_back_to_the_old_files_heals(paper, wall):
    tls = reloading(paper, wall)
    before, key = tls.current(), (paper.directory / "own.key").read_bytes()
    paper.put("own.key", b"junk")
    tls.check()
    paper.put("own.key", key)
    with capture_logs() as logs:
        assert not tls.check()
    assert tls.last_error is None
    assert tls.current() is before
    assert [line["event"] for line in logs] == ["tls_files_restored"]
    paper.put("own.key", b"junk")
    tls.check()
    assert tls.failures == 2


def test_files_that_are_restored_while_they_are_looked_at_are_no_new_set(paper, wall, monkeypatch):
    tls = reloading(paper, wall)
    before, key = tls.current(), (paper.directory / "own.key").read_bytes()
    paper.put("own.key", b"junk")
    tls.check()

    def load_after_the_restoration(*arguments):
        paper.put("own.key", key)
        return load(*arguments)

    monkeypatch.setattr(module, "load", load_after_the_restoration)
    with capture_logs() as logs:
        assert not tls.check()
    assert [line["event"] for line in logs] == ["tls_files_restored"]
    assert tls.current() is before
    assert (tls.reloads, tls.last_error) == (0, None)


def test_the_exchange_of_kubernetes_links_is_seen(tmp_path, wall, ca):
    volume = tmp_path / "volume"
    first = server_paper(volume / "..2026_01_01", issue(ca, "first"), ca)
    (volume / "..data").symlink_to("..2026_01_01")
    for name in ("own.pem", "own.key", "ca.pem"):
        (volume / name).symlink_to(f"..data/{name}")
    tls = reloading(Paper(volume), wall)
    assert not tls.check()

    server_paper(volume / "..2026_02_02", issue(ca, "second"), ca)
    (volume / "..data_tmp").symlink_to("..2026_02_02")
    (volume / "..data_tmp").rename(volume / "..data")
    for path in first.directory.iterdir():
        path.unlink()

    assert tls.check()
    assert subject(tls) == "CN=second"


def test_an_end_in_sight_is_a_warning_once_a_day(tmp_path, wall, ca):
    with capture_logs() as logs:
        paper = server_paper(tmp_path, issue(ca, days=31), ca)
        tls = reloading(paper, wall)
        assert logs == []
        wall.now += 31 * DAY - WARN_BEFORE_SECONDS
        tls.check()
        wall.now += DAY - 1
        tls.check()
        assert [line["event"] for line in logs] == ["tls_expires_soon"]
        wall.now += 1
        tls.check()
        assert len(logs) == 2
        assert logs[1]["days_left"] == 29.0
        paper.put_identity(issue(ca, days=100))
        tls.check()
        assert [line["event"] for line in logs[2:]] == ["tls_reloaded"]


def test_a_new_set_that_ends_soon_is_warned_of_at_once(tmp_path, wall, ca):
    paper = server_paper(tmp_path, issue(ca, days=20), ca)
    tls = reloading(paper, wall)
    paper.put_identity(issue(ca, days=25))
    with capture_logs() as logs:
        tls.check()
    assert [line["event"] for line in logs] == ["tls_reloaded", "tls_expires_soon"]


async def test_an_expired_certificate_starts_with_a_warning(tmp_path, wall, ca):
    tls = reloading(server_paper(tmp_path, issue(ca, days=-2), ca), wall)
    assert [line["event"] for line in await warnings_of(tls)] == ["tls_expired"]
    assert tls.expires_in(wall.now) == pytest.approx(-2 * DAY, abs=60)


async def test_an_expired_certificate_beside_the_path_is_no_warning(tmp_path, wall):
    old, root, inter, leaf = map(Party, ("old", "root", "inter", "leaf"))
    chain = (
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter),
        old.certifies(root, begins=-900.0, ends=-300.0),
    )
    paper = Paper(tmp_path)
    paper.put("own.pem", pem(*chain))
    paper.put("own.key", leaf.key_pem)
    health = HealthReport()
    with capture_logs() as logs:
        tls = ReloadingContext(paper.files(), server_context, label="public", wall_clock=wall)
    assert logs == []
    assert tls.expires_in(wall.now) == pytest.approx(100 * DAY, abs=60)
    register_checks([tls], health, wall)
    (check,) = (await health.assess()).checks
    assert check.healthy
    assert check.message.startswith("leaf expires in 100.0 days")
    expiry = next(iter(TlsCollector([tls], wall).collect())).samples
    assert [sample.value for sample in expiry] == [pytest.approx(100 * DAY, abs=60)]
    wall.now += 101 * DAY
    (check,) = (await health.assess()).checks
    assert not check.healthy
    assert "leaf expired 1.0 days ago" in check.message


@pytest.mark.parametrize("serves_clients", [True, False])
async def test_a_key_that_clients_of_grpcio_cannot_use_is_a_warning(tmp_path, wall, serves_clients):
    root, leaf = Party("root"), Party("leaf", ed25519.Ed25519PrivateKey.generate())
    paper = Paper(tmp_path)
    paper.put("own.pem", pem(root.certifies(leaf, is_ca=False)))
    paper.put("own.key", leaf.key_pem)
    tls = ReloadingContext(
        paper.files(),
        server_context,
        label="public",
        wall_clock=wall,
        serves_clients=serves_clients,
    )
    logs = await warnings_of(tls)
    assert [line["event"] for line in logs] == ["tls_key_unusable_by_clients"] * serves_clients
    assert all("Ed25519" in line["problem"] for line in logs)


async def test_a_certificate_of_the_future_starts_with_a_warning(tmp_path, wall, ca):
    later = datetime.now(UTC) + timedelta(days=3)
    tls = reloading(server_paper(tmp_path, issue(ca, now=later), ca), wall)
    assert [line["event"] for line in await warnings_of(tls)] == ["tls_not_yet_valid"]


def test_a_client_without_files_never_ends_and_never_changes(wall):
    tls = ReloadingContext(TlsFiles(), client_context, label="backend", wall_clock=wall)
    assert tls.expires_in(wall.now) is None
    assert not tls.check()


async def test_the_loop_takes_up_a_new_set_and_ends_when_cancelled(paper, ca):
    tls = reloading(paper, time.time, interval_seconds=0.01)
    task = asyncio.create_task(tls.run())
    paper.put_identity(issue(ca, "renewed"))
    await until(lambda: tls.reloads == 1)
    paper.put("own.pem", b"junk")
    await until(lambda: tls.failures > 0)
    paper.put_identity(issue(ca, "again"))
    await until(lambda: tls.reloads == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert subject(tls) == "CN=again"


def test_the_live_context_fails_closed_when_it_is_used_natively(paper, wall):
    tls = reloading(paper, wall)
    assert tls.context.get_ca_certs() == []
    assert tls.context.verify_mode is tls.current().verify_mode
    paper.put_identity(issue(authority()))
    one_way = ReloadingContext(paper.files(), server_context, label="x", wall_clock=wall)
    assert one_way.context.minimum_version is one_way.current().minimum_version
