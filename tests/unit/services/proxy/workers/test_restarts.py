from vecguard.proxy.workers.restarts import Restarts


def test_the_first_early_end_is_mended_at_once_and_the_next_ones_later_and_later():
    restarts = Restarts()
    assert [restarts.delay(1.0) for _ in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]


def test_the_delay_has_a_bound():
    restarts = Restarts()
    assert max(restarts.delay(0.0) for _ in range(2000)) == 30.0


def test_one_that_lived_long_is_replaced_at_once():
    restarts = Restarts()
    for _ in range(9):
        restarts.delay(1.0)
    assert restarts.delay(30.0) == 0.0
    assert restarts.delay(1.0) == 0.5
