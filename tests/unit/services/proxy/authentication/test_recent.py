from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.authentication.recent import Recent

STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "get", "drop"]), st.integers(0, 3)), min_size=10
)


@given(STEPS, st.integers(1, 3))
def test_what_was_used_last_is_kept(steps, most):
    gone = []
    recent, order = Recent(most, gone.append), []
    for number, (step, key) in enumerate(steps, start=1):
        known = key in order
        if step == "put":
            recent.put(key, number)
        elif step == "get":
            assert (recent.get(key) is not None) is known
        else:
            recent.drop(key)
        if known:
            order.remove(key)
        if step == "put" or (step == "get" and known):
            order.append(key)
        order = order[-most:]
        assert [key in recent for key in range(4)] == [key in order for key in range(4)]
        assert len(recent) == len(order) == len(list(recent.values()))
        # `forgotten` was called for the entries that are gone, and for no other.
        put = {number for number, (step, _) in enumerate(steps[:number], 1) if step == "put"}
        assert sorted(gone) == sorted(put - set(recent.values()))
    recent.clear()
    assert len(gone) == sum(step == "put" for step, _ in steps)


def test_the_newest_value_counts():
    recent = Recent(2)
    recent.put("k", 1)
    recent.put("k", 2)
    assert recent.get("k") == 2
    recent.clear()
    assert recent.get("k") is None
