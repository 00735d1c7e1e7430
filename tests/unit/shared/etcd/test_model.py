from hypothesis import given
from hypothesis import strategies as st

from vecguard.etcd.model import range_end_of_prefix


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_range_of_a_prefix_holds_exactly_the_keys_that_begin_with_it(prefix, key):
    end = range_end_of_prefix(prefix)
    assert (key >= prefix and (end == b"\0" or key < end)) == key.startswith(prefix)
