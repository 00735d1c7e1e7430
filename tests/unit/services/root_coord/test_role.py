import pytest

from vecguard.root_coord.errors import StandbyError
from vecguard.root_coord.role import Role


def why_not(role):
    with pytest.raises(StandbyError) as refusal:
        role.require()
    return refusal.value.message


def test_a_standby_names_the_active_one():
    role = Role()
    role.leader_seen("10.0.0.2:53100")
    assert why_not(role).endswith("the active one is 10.0.0.2:53100")


def test_the_key_of_an_earlier_term_of_its_own_is_no_other_root_coord():
    role = Role("10.0.0.2:53100")
    role.leader_seen("10.0.0.2:53100")
    assert why_not(role).endswith("waits until its own key of an earlier term expires in etcd")
    role.leader_seen("10.0.0.3:53100")
    assert why_not(role).endswith("the active one is 10.0.0.3:53100")


def test_a_leader_that_is_gone_is_not_named_any_more():
    role = Role()
    role.leader_seen("10.0.0.2:53100")
    role.leader_seen("")
    assert why_not(role) == "this root coord is on standby"


def test_a_standby_without_etcd_says_so_until_etcd_answers_again():
    role = Role()
    role.leader_seen("10.0.0.2:53100")
    role.election_failed("etcd at 10.0.0.9:2379 cannot be reached")
    assert "etcd at 10.0.0.9:2379 cannot be reached" in why_not(role)
    assert "10.0.0.2" not in why_not(role)
    role.leader_seen("10.0.0.3:53100")
    assert "etcd" not in why_not(role)
