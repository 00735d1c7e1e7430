"""What all tests have in common."""

import os

from hypothesis import settings

# The same examples in every run, so that a red one can be repeated and a green one stays
# green; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
