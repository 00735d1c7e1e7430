from vecguard.proxy.authentication.configured import fetch_rate


def test_all_users_that_there_may_be_are_looked_up_at_once_after_a_restart():
    assert fetch_rate(max_users=100).burst == 1000
    assert fetch_rate(max_users=20_000).burst == 20_000
    assert fetch_rate(max_users=20_000).per_second == 100
