"""Every target on its seeds, on new combinations of their parts, and on anything."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.own_services import own_services
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left():
    yield
    own_services.close()


@st.composite
def near(draw, seeds):
    """A seed in which a part is replaced, left out or repeated."""
    seed = draw(st.sampled_from(seeds))
    begin = draw(st.integers(0, len(seed)))
    end = draw(st.integers(begin, len(seed)))
    middle = draw(st.binary(max_size=8) | st.just(seed[begin:end] * 3) | st.sampled_from(seeds))
    return seed[:begin] + middle + seed[end:]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_behave(name):
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_arbitrary_bytes_are_taken_or_refused_and_nothing_else(name):
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=200) | near(SEEDS[name]))
    def run(data):
        TARGETS[name](data)

    run()
