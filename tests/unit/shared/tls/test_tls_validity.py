"""What ends when: the leaf, the path to the CA, and what lies beside it."""

from datetime import UTC, datetime

import pytest

from shared.tls.path import path_of
from shared.tls.validity import SetValidity, Stage, Validity
from tests.unit.shared.tls.paper import DAY, Party

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
    return round((SetValidity.of(chain, authorities).ends - NOW) / DAY)


def unused(chain, authorities=()):
    return [each.name for each in SetValidity.of(chain, authorities).unused_ended(NOW)]


def test_the_first_end_on_the_path_counts(family):
    chain = (family.leaf, family.root.certifies(family.inter, ends=20.0))
    assert days(chain) == 20
    found = SetValidity.of(chain, ())
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


def test_many_cas_of_one_name_and_key_are_no_puzzle(family):
    many = [family.root.certifies(family.root, ends=30.0 + each) for each in range(30)]
    rings = [family.cross(ends=200.0), *many]
    assert path_of((family.leaf, family.middle, *rings), many)[-1] == many[-1]


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
    found = SetValidity.of((), ())
    assert (found.ends, found.worst(NOW), found.unused_ended(NOW)) == (None, None, ())
