"""The end-to-end tests once more, with pymilvus on this side and our images on the other.

They ask for a fixture `stack`; here it is one of containers.
"""

# ruff: noqa: F403 - pytest collects what it finds here, fixtures with the tests
from tests.e2e.test_pymilvus_accounts import *
from tests.e2e.test_pymilvus_connections import *
from tests.e2e.test_pymilvus_data import *
from tests.e2e.test_pymilvus_refusals import *
from tests.e2e.test_three_proxies import *

# Twelve seconds of silence, of which the images change nothing.
del test_an_idle_client_that_is_kept_alive_by_pings_is_not_cut  # noqa: F821 - it is among them
