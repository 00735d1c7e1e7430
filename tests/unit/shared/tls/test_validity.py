"""What ends when: the leaf, the path to the CA, and what lies beside it."""

import time
from datetime import UTC, datetime

import pytest

from tests.support.certificates import DAY, Party
from vecguard.tls.path import Paths
from vecguard.tls.validity import SetValidity, Stage, Validity

NOW = datetime.now(UTC).timestamp()


class Family:
    """A root, an intermediate, a leaf, and an older root that has ended."""

    def __init__(self, **leaf):
        self.old, self.root, self.inter = Party("old"), Party("root"), Party("inter")
        self.own_root = self.root.certifies(self.root)
        self.middle = self.root.certifies(self.inter)
        self.leaf = self.inter.certifies(Party("leaf"), is_ca=False, **{"ends": 90.0, **leaf})

    def cross(self, **dates):
        return self.old.certifies(self.root, **dates)


@pytest.fixture
def family():
    return Family()


def days(chain, authorities=()):
    return round((SetValidity(chain, authorities).ends(NOW) - NOW) / DAY)


def unused(chain, authorities=()):
    return [each.name for each in SetValidity(chain, authorities).unused_ended(NOW)]


def test_the_first_end_on_the_path_counts(family):
    chain = (family.leaf, family.root.certifies(family.inter, ends=20.0))
    assert days(chain) == 20
    found = SetValidity(chain, ())
    assert found.worst(NOW).name == "inter"
    assert found.worst(NOW).stage(NOW) is Stage.ENDS_SOON


def test_an_expired_intermediate_that_issued_the_leaf_is_on_the_path(family):
    chain = (family.leaf, family.root.certifies(family.inter, begins=-9.0, ends=-2.0))
    assert days(chain) == days(chain, (family.own_root,)) == -2


def test_an_expired_cross_certificate_is_beside_the_path_whether_the_root_is_known_or_not(family):
    chain = (family.leaf, family.middle, family.cross(begins=-900.0, ends=-300.0))
    for authorities in ((), (family.own_root,)):
        assert days(chain, authorities) == 90
        assert unused(chain, authorities) == ["root"]


def test_a_cross_certificate_that_ends_is_on_the_path_of_those_who_trust_its_issuer(family):
    chain = (family.leaf, family.middle, family.cross(ends=10.0))
    older = (family.old.certifies(family.old),)
    assert days(chain, older) == 10
    assert days(chain, (*older, family.own_root)) == 90


def test_a_root_in_the_file_is_not_what_clients_check(family):
    ended = family.root.certifies(family.root, begins=-9.0, ends=-1.0)
    assert days((family.leaf, family.middle, ended)) == 90
    assert days((family.leaf, family.middle, ended), (family.own_root,)) == 90
    assert unused((family.leaf, family.middle, ended)) == ["root"]


def test_a_root_that_ends_and_is_trusted_ends_the_set(family):
    ending = family.root.certifies(family.root, ends=5.0)
    assert days((family.leaf, family.middle), (ending,)) == 5


@pytest.mark.parametrize("turn", [1, -1])
def test_an_old_intermediate_of_the_same_name_and_key_is_beside_the_path(family, turn):
    old = family.root.certifies(family.inter, begins=-9.0, ends=-1.0)
    chain = (family.leaf, *(old, family.middle)[::turn])
    for authorities in ((), (family.own_root,)):
        assert days(chain, authorities) == 90
        assert unused(chain, authorities) == ["inter"]


def test_an_intermediate_of_an_earlier_ca_is_beside_the_path(family):
    stray = Party("other").certifies(Party("stray"), begins=-9.0, ends=-1.0)
    assert days((family.leaf, stray, family.middle)) == 90


def test_of_the_cas_that_judge_peers_the_last_to_end_counts(family):
    ended, other = family.cross(begins=-9.0, ends=-1.0), Party("other")
    assert days((), (ended, other.certifies(other, ends=40.0))) == 40
    assert unused((), (ended, other.certifies(other, ends=40.0))) == ["root"]
    # The clients' CA need not be the server's.
    assert days((family.leaf, family.middle), (other.certifies(other, ends=40.0),)) == 40


def test_the_successor_of_a_ca_counts_from_the_day_it_is_valid(family):
    now = family.root.certifies(family.root, ends=40.0)
    coming = Party("next")
    later = coming.certifies(coming, begins=5.0, ends=400.0)
    for authorities in ((now, later), (later, now)):
        found = SetValidity((), authorities)
        assert found.worst(NOW).stage(NOW) is Stage.GOOD
        assert found.worst(NOW).name == "root"
        assert found.worst(NOW + 6 * DAY).name == "next"
        assert found.worst(NOW + 41 * DAY).stage(NOW + 41 * DAY) is Stage.GOOD
        assert [each.name for each in found.unused_ended(NOW + 41 * DAY)] == ["root"]
    assert SetValidity((), (later,)).worst(NOW).stage(NOW) is Stage.NOT_YET_VALID


@pytest.mark.parametrize("turn", [1, -1])
def test_the_successor_of_an_intermediate_counts_from_the_day_it_is_valid(family, turn):
    middle = family.root.certifies(family.inter, ends=50.0)
    later = family.root.certifies(family.inter, begins=5.0, ends=400.0)
    chain = (family.leaf, *(later, middle)[::turn])
    for authorities in ((), (family.own_root,)):
        found = SetValidity(chain, authorities)
        assert found.worst(NOW).stage(NOW) is Stage.GOOD
        assert middle in found.path(NOW)
        assert later in found.path(NOW + 6 * DAY)
        assert found.worst(NOW + 6 * DAY).stage(NOW + 6 * DAY) is Stage.GOOD
        assert found.unused_ended(NOW) == ()
    only = SetValidity((family.leaf, later), ())
    assert only.worst(NOW).stage(NOW) is Stage.NOT_YET_VALID


def test_a_cross_certificate_of_the_future_is_beside_the_path(family):
    chain = (family.leaf, family.middle, family.cross(begins=5.0))
    for authorities in ((), (family.own_root,)):
        found = SetValidity(chain, authorities)
        assert found.worst(NOW).stage(NOW) is Stage.GOOD


def test_very_many_cas_of_one_name_and_key_are_judged_at_once(family):
    many = [family.root.certifies(family.root, ends=30.0 + each / 10) for each in range(500)]
    crossing = [family.inter.certifies(family.root, ends=30.0 + each) for each in range(100)]
    began = time.process_time()
    paths = Paths((family.leaf, family.middle, *crossing, *many), many)
    assert paths.best(NOW)[-1] == many[-1]
    assert Paths((family.leaf, family.middle, *crossing), ()).best(NOW)[-1] == crossing[-1]
    other = Party("other")
    unknown = (other.certifies(other),)
    assert Paths((family.leaf, family.middle, *crossing, *many), unknown).to_authority(NOW) is None
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("begins", "ends", "stage", "text"),
    [
        (-1.0, 31.0, Stage.GOOD, "leaf expires in 31.0 days ("),
        (-1.0, 29.0, Stage.ENDS_SOON, "leaf expires in 29.0 days ("),
        (-9.0, -2.0, Stage.ENDED, "leaf expired 2.0 days ago ("),
        (2.0, 90.0, Stage.NOT_YET_VALID, "leaf is not valid before 2"),
    ],
)
def test_a_stage_is_told_with_the_name_and_the_days(begins, ends, stage, text):
    found = Validity.of(Family(begins=begins, ends=ends).leaf)
    assert found.stage(NOW) is stage
    assert found.text(NOW).startswith(text)
    assert found.text(NOW).rstrip(")").endswith(" UTC")


def test_without_certificates_nothing_ends():
    found = SetValidity((), ())
    assert (found.ends(NOW), found.worst(NOW), found.unused_ended(NOW)) == (None, None, ())
