import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from vecguard.proxy.workers.metrics import Families


def exposition(calls, waiting, seconds):
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["code"], registry=registry).labels("OK").inc(calls)
    Gauge("waiting", "Jobs that wait.", registry=registry).set(waiting)
    Histogram("seconds", "Time.", buckets=(1, 10), registry=registry).observe(seconds)
    return generate_latest(registry).decode()


@pytest.fixture
def registry():
    families = Families()
    families.add_text("1", exposition(3, 4, 0.5))
    families.add_text("2", exposition(5, 6, 50))
    return families.registry()


def test_every_figure_says_whose_it_is(registry):
    for worker, calls, waiting in (("1", 3, 4), ("2", 5, 6)):
        assert registry.get_sample_value("calls_total", {"code": "OK", "worker": worker}) == calls
        assert registry.get_sample_value("waiting", {"worker": worker}) == waiting
    assert registry.get_sample_value("seconds_bucket", {"le": "1.0", "worker": "1"}) == 1
    assert registry.get_sample_value("seconds_bucket", {"le": "1.0", "worker": "2"}) == 0


@pytest.mark.parametrize("encode", [generate_latest, openmetrics.generate_latest])
def test_a_family_stands_once_with_its_kind(registry, encode):
    text = encode(registry).decode()
    assert text.count("# TYPE seconds histogram") == 1
    assert text.count("# TYPE waiting gauge") == 1
    assert text.count(" counter\n") == 1
    assert text.count('calls_total{code="OK",worker="') == 2


def test_what_is_no_exposition_is_refused():
    with pytest.raises(ValueError, match=r".+"):
        Families().add_text("1", 'calls{code="OK 1\n')
